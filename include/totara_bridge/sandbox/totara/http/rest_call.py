"""One call of a web service function: who calls, with what, and the database as it is now."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select

from totara_bridge.sandbox.totara.http.refusal import no_permission, no_record
from totara_bridge.sandbox.totara.http.site import Site
from totara_bridge.sandbox.totara.http.tokens import CAPABILITIES, RestToken, Service
from totara_bridge.sandbox.totara.schema import Tables

Row = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """What a function is given."""

    site: Site
    connection: Connection
    token: RestToken
    service: Service
    user: Row  #: the token's
    parameters: Row  #: as the function takes them

    @property
    def tables(self) -> Tables:
        """The site's tables."""
        return self.site.tables

    def may(self, capability: str) -> bool:
        """Whether the token's user has this capability, everywhere."""
        return capability in self.token.capabilities

    def require(self, capability: str) -> None:
        """Go no further without it.

        :raises Refusal: the token's user lacks it.
        """
        if not self.may(capability):
            raise no_permission(capability, CAPABILITIES[capability])

    def rows(self, statement: Select[Any]) -> list[Row]:
        """All rows."""
        return [dict(row) for row in self.connection.execute(statement).mappings()]

    def the(self, statement: Select[Any]) -> Row:
        """The only row.

        :raises Refusal: there is none.
        """
        found = self.rows(statement)
        if not found:
            raise no_record(str(statement))
        return found[0]


def formatted(text: str | None) -> str:
    """A name as Totara puts it into pages, and so into its answers: in numeric entities.

    Of the ampersand and the quotation mark it was recorded; of the others it was not.
    """
    marked = (text or "").replace("&", "&#38;")
    for mark in "\"'<>":
        marked = marked.replace(mark, f"&#{ord(mark)};")
    return marked


def full_name(user: Row) -> str:
    """First and last name."""
    return f"{user['firstname']} {user['lastname']}".strip()
