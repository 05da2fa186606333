"""Learners who are enrolled: what web services do not show comes from the external GraphQL API where there is one."""

from collections.abc import Generator, Iterator
from contextlib import closing

from totara_bridge.completion import copy_line
from totara_bridge.totara import graphql
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.web_services.enrolments import Enrolled, Enrolments
from totara_bridge.totara.web_services.permissions import LEARNER_FIELDS, Access

_Shown = dict[str, str | None]  #: by column; none: not shown


def lines(connection: TotaraConnection, access: Access, enrolments: Enrolments) -> Iterator[bytes]:
    """Lines with `LEARNER_COLUMNS`, each learner once.

    :raises TotaraUnavailable: no answer, or none now.
    :raises TotaraRefused: the GraphQL API may not be asked.
    """
    told: set[int] = set()
    for learner in _by_graphql(connection, access):
        if (enrolled := enrolments.learner(learner.user_id)) is not None:
            told.add(learner.user_id)
            yield _line(learner.user_id, _more(_shown(enrolled, access), learner), learner.suspended)
    for enrolled in enrolments.learners():
        if enrolled["id"] not in told:
            yield _line(enrolled["id"], _shown(enrolled, access), None)


def try_graphql(connection: TotaraConnection, access: Access) -> None:
    """Ask for a page of learners where `lines` asks for all.

    :raises TotaraUnavailable: no answer, or none now.
    :raises TotaraRefused: the GraphQL API may not be asked.
    """
    with closing(_by_graphql(connection, access)) as found:
        next(found, None)


def _by_graphql(connection: TotaraConnection, access: Access) -> Generator[graphql.Learner, None, None]:
    """All that there are; nobody where there is no API client, or web services show everything."""
    if connection.api_client and not access.shows_learners:
        with graphql.GraphqlClient(connection) as client:
            yield from graphql.learners(client)


def _shown(learner: Enrolled, access: Access) -> _Shown:
    """A field that others have and this one does not is empty; one that nobody has is not shown."""
    return {
        column: learner.get(field, "" if column in access.learner_columns else None)
        for column, field in LEARNER_FIELDS.items()
    }


def _more(shown: _Shown, learner: graphql.Learner) -> _Shown:
    return {column: getattr(learner, column) if value is None else value for column, value in shown.items()}


def _line(user_id: int, shown: _Shown, suspended: bool | None) -> bytes:
    """Totara shows no deleted learners this way."""
    return copy_line((user_id, *shown.values(), suspended, False))
