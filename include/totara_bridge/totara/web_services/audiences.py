"""Audiences by their id numbers, and who is in them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from totara_bridge.errors import TotaraRefused
from totara_bridge.totara.web_services.answers import NOT_ALLOWED, CallRefused
from totara_bridge.totara.web_services.client import WebServices
from totara_bridge.totara.web_services.permissions import AUDIENCES, MEMBERS, Access

_ASKED_TOGETHER = 20


class Audiences:
    """The audiences of one Totara; asked about when they are first needed."""

    def __init__(self, services: WebServices, access: Access) -> None:
        self._services = services
        self._access = access

    def there(self, id_numbers: Collection[str]) -> frozenset[str]:
        """Those of these that Totara has.

        :raises TotaraRefused: the token's user may not know.
        """
        return frozenset(self._ids.keys() & set(id_numbers))

    def members(self, id_numbers: Collection[str]) -> Iterator[tuple[int, str]]:
        """User id and id number of the audience; twice for who is in two audiences of one id number.

        :raises TotaraRefused: the token's user may not know.
        """
        name_of = {each: name for name in sorted(set(id_numbers)) for each in self._ids.get(name, ())}
        ids = list(name_of)
        for start in range(0, len(ids), _ASKED_TOGETHER):
            asked = ids[start : start + _ASKED_TOGETHER]
            for audience in self._allowed(MEMBERS, cohortids=asked):
                for user in audience["userids"]:
                    yield user, name_of[audience["cohortid"]]

    @cached_property
    def _ids(self) -> Mapping[str, Sequence[int]]:
        ids: dict[str, list[int]] = {}
        for each in self._allowed(AUDIENCES):
            ids.setdefault(each["idnumber"] or "", []).append(each["id"])
        return ids

    def _allowed(self, function: str, **parameters: object) -> list[dict[str, Any]]:
        refused = TotaraRefused(
            f"The token's user {self._access.user} may not see audiences, which a route or the connection's query "
            f"names: add the functions {AUDIENCES} and {MEMBERS} to the token's service and give a role of this user "
            "the capability moodle/cohort:view for the whole site, or take the audiences out of there."
        )
        if not self._access.audiences:
            raise refused
        try:
            answer: list[dict[str, Any]] = self._services.call(function, **parameters)
        except CallRefused as error:
            if error.code in NOT_ALLOWED:
                raise refused from error
            raise
        return answer
