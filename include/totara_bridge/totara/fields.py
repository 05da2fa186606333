"""The extra fields of a Totara connection, and what is said of one that cannot be."""

import json
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails

from totara_bridge.config.schedule import Zone
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.report import Report
from totara_bridge.totara.source import SourceKind


def _from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from error


_Line = Annotated[str, StringConstraints(strip_whitespace=True)]


class Fields(BaseModel):
    """The extra fields; what Airflow stores may be JSON values or their text."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)

    source: SourceKind = SourceKind.DATABASE
    database_url: _Line = ""
    database_password: Annotated[str, Field(repr=False)] = ""
    table_prefix: Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9_]{0,15})?$")] = "ttr_"
    timeout_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 30_000
    requests_in_flight: Annotated[int, Field(ge=1, le=64)] = 4
    recheck_days: Annotated[int, Field(ge=0, le=3_650)] = 30
    api_client: _Line = ""
    api_secret: Annotated[str, Field(repr=False)] = ""
    report: Annotated[Report, BeforeValidator(_from_json)] = Report()
    time_zone: Zone = ZoneInfo("UTC")
    days_of: Literal["site", "learner"] = "site"
    is_active: bool = True
    is_source: bool = True
    is_target: bool = False
    query: Annotated[ReadQuery, BeforeValidator(_from_json)] = ReadQuery()

    @model_validator(mode="after")
    def _has_what_its_source_needs(self) -> Self:
        if bool(self.api_client) != bool(self.api_secret):
            raise ValueError('"API client ID" and "API client secret" belong together: fill in both or none')
        if self.source is SourceKind.REPORT_QUERY and not (self.api_client and self.report.id):
            raise ValueError('report_query needs "API client ID", "API client secret" and the report\'s id in "Report"')
        if self.source is SourceKind.REPORT_FILE and not self.report.place:
            raise ValueError('report_file needs the place of the files in "Report", as in {"place": "/exports/*.csv"}')
        return self


def wrong_fields(name: str, error: ValidationError) -> str:
    """One sentence that names each place; never with what was filled in, as it may be a secret."""
    places = [_place(each) for each in error.errors(include_input=False, include_url=False)]
    return f"{name} has fields that cannot be: {'; '.join(places)}."


def _place(each: ErrorDetails) -> str:
    place = ".".join(str(part) for part in each["loc"])
    match each["type"]:
        case "extra_forbidden":
            known: dict[str, type[BaseModel]] = {"query": ReadQuery, "report": Report} if len(each["loc"]) > 1 else {}
            fields = known.get(str(each["loc"][0]), Fields).model_fields
            return f"{place} is unknown (known: {', '.join(fields)})"
        case "string_pattern_mismatch" if place == "table_prefix":
            return f"{place}: at most 16 of a–z, 0–9 and _, a letter first, as in ttr_"
    words = each["msg"].removeprefix("Value error, ")
    return f"{place}: {words}" if place else words
