"""Reading who is in the audiences that routes name."""

import logging
from collections.abc import Collection

from totara_bridge.completion import copy_lines
from totara_bridge.staging import audience
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.incoming import Incoming, load
from totara_bridge.totara.source import Snapshot, Window

log = logging.getLogger(__name__)


def read(
    transaction: Transaction, snapshot: Snapshot, *, site: str, wanted: Collection[str], window: Window | None
) -> None:
    """Stream in the members of the wanted audiences: with a window, those among its learners.

    An audience without a staged member (newly named, or empty until now) is read whole all the same, or nobody would
    be in it until the next full compare. One that is not wanted any more, or gone from Totara, loses its members.
    """
    known = audience.known(transaction, site=site)
    there = snapshot.audiences(sorted(wanted)) if wanted else frozenset()
    for name in sorted(set(wanted) - there):
        log.warning(
            "The route of a destination names the audience %s, which the Totara of site %s does not have (id numbers "
            "are compared to the letter), so it has no members: correct the route or give the audience that id number.",
            name,
            site,
        )
    partly = there & known if window is not None else frozenset()
    whole = there - partly
    load(transaction, Incoming.AUDIENCE, copy_lines((name, name not in partly) for name in sorted(there | known)))
    for names, within in ((whole, None), (partly, window)):
        if names:
            lines = snapshot.audience_members(sorted(names), within)
            load(transaction, Incoming.AUDIENCE_MEMBER, lines)
