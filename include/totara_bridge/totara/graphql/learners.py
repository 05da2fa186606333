"""Learners as the external GraphQL API shows them: everybody but the deleted."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from totara_bridge.totara.graphql.client import GraphqlClient
from totara_bridge.totara.graphql.pages import rows

_FIELDS = ("id", "username", "idnumber", "email", "firstname", "lastname", "suspended", "timezone")


class Learner(NamedTuple):
    """A learner; nothing where the API's user may not see it."""

    user_id: int
    username: str | None
    id_number: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    suspended: bool | None
    time_zone: str | None  #: as IANA names it; the site's where the learner has none


def learners(client: GraphqlClient) -> Iterator[Learner]:
    """Each learner once, in the order of their ids, the guest and the suspended included.

    :raises TotaraUnavailable: no answer, or none now.
    :raises TotaraRefused: they may not be read.
    """
    for row in rows(client, "core_user_users", _FIELDS):
        yield Learner(
            int(row["id"]),
            _text(row.get("username")),
            _text(row.get("idnumber")),
            _text(row.get("email")),
            _text(row.get("firstname")),
            _text(row.get("lastname")),
            row.get("suspended"),
            _text(row.get("timezone")),
        )


def _text(value: Any) -> str | None:
    """The text without halves of surrogate pairs, which nothing can store."""
    return None if value is None else str(value).encode(errors="replace").decode()
