"""How another system fetches completions: made from the Pull API's OpenAPI document, so it says what there is."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from totara_bridge.settings import Settings
from totara_bridge.web.panel.guide.block import Block, command, section, table, words
from totara_bridge.web.panel.guide.schema import Reader, Schema, in_query
from totara_bridge.web.problem import MEDIA_TYPE, TYPE
from totara_bridge.web.pull.openapi.document import document

_SHOWN = '-H "X-Api-Key: $TOKEN"'
_ALL = {"since": "1970-01-01"}


def sections(address: str, settings: Settings, examples: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The parts of the guide.

    :param address: of the API, as others have it.
    :param examples: values of parameters that are better here than the document's.
    """
    said = document()
    pages = _Pages(said, address, examples)
    yield section("authentication", "Authentication", *_authentication(said, address))
    for path, methods in said["paths"].items():
        for method, operation in methods.items():
            yield section(operation["operationId"], f"{method.upper()} {path}", *pages.blocks(path, method, operation))
    yield section("errors", "Errors", *_errors(said, address))
    yield section("limits", "Limits", *_limits(said, settings))


def _authentication(said: Schema, address: str) -> Iterator[Block]:
    schemes = said["components"]["securitySchemes"]
    for paragraph in said["info"]["description"].strip().split("\n\n"):
        yield words(paragraph.replace("\n", " "))
    yield words(
        f"{schemes['apiKey']['description']} It goes with each request, in the header "
        f"`{schemes['apiKey']['name']}: tbk_…` or as `Authorization: Bearer tbk_…`, and never in an address: those end "
        "up in logs. Airflow's login is neither needed nor taken."
    )
    yield words("The lines of this guide take the token from `TOKEN`: paste yours here first.")
    yield command("Once in a shell", "export TOKEN=tbk_…")
    yield command("Then try it", _curl(address, "/status"))


def _curl(address: str, path: str, query: str = "", *options: str) -> str:
    asked = f"{address}{path}?{query}" if query else address + path
    return " ".join(["curl -sS", _SHOWN, *options, f'"{asked}"'])


class _Pages:
    """The part of each operation."""

    def __init__(self, said: Schema, address: str, examples: Mapping[str, str]) -> None:
        self._reader = Reader(said)
        self._address = address
        self._examples = examples

    def blocks(self, path: str, method: str, operation: Schema) -> Iterator[Block]:
        """What there is to say."""
        yield words(f"{operation['summary']}. {operation['description']}")
        answer = operation["responses"]["200"]["content"]
        if method == "post":
            yield self._posting(path, operation)
            yield self._fields("What is sent", operation["requestBody"]["content"]["application/json"]["schema"])
        elif "text/csv" in answer:
            yield from self._following(path, operation)
        else:
            yield self._asking(path, operation)
        if parameters := operation.get("parameters"):
            rows = [self._parameter(each) for each in parameters]
            yield table("Parameters", ["parameter", "takes", "meaning", "such as"], rows)
        if "properties" in self._reader.found(answer["application/json"]["schema"]):
            yield self._fields("What is answered", answer["application/json"]["schema"])
        told = [
            (status, str(self._reader.found(each)["description"])) for status, each in operation["responses"].items()
        ]
        yield table("Answers", ["status", "meaning"], told)

    def _parameter(self, parameter: Schema) -> tuple[str, str, str, str]:
        example = self._examples.get(parameter["name"], parameter.get("example"))
        shown = "" if example is None or parameter["in"] == "path" else f"`{in_query(parameter, example)}`"
        return f"`{parameter['name']}`", self._reader.takes(parameter["schema"]), parameter["description"], shown

    def _fields(self, title: str, schema: Schema) -> Block:
        rows = [(f"`{path}`", takes, meaning) for path, takes, meaning in self._reader.fields(schema)]
        return table(title, ["field", "is", "meaning"], rows)

    def _asking(self, path: str, operation: Schema) -> Block:
        named = {each["name"]: each["example"] for each in operation.get("parameters", []) if each["in"] == "path"}
        content = operation["responses"]["200"]["content"]["application/json"]
        asked = path.format_map(named | dict(self._examples))
        return command("Ask for it", _curl(self._address, asked), stdout=content.get("example"))

    def _following(self, path: str, operation: Schema) -> Iterator[Block]:
        """A feed: its first page, how to go on, and all of it at once."""
        taken = {each["name"] for each in operation["parameters"]}
        everything = "&".join(f"{name}={value}" for name, value in _ALL.items() if name in taken)
        first = f"{everything}&limit=1" if everything else "limit=1"
        yield command(
            "The first page",
            _curl(self._address, path, first),
            stdout=operation["responses"]["200"]["content"]["application/json"]["example"],
        )
        yield words(
            "Every answer has a `cursor`, the last page and an empty one too. Store it after you have stored the "
            "items, and go on with it: at once while `more` is true, later when it is false. Nothing is missed so, and "
            "what is deleted is told; whoever asks by the time of the last call instead misses changes."
        )
        yield command("Go on, with the last answer's cursor in CURSOR", _curl(self._address, path, "cursor=$CURSOR"))
        for title, form, ending in (("JSON", "application/x-ndjson", "ndjson"), ("CSV", "text/csv", "csv")):
            accept, kept = f'-H "Accept: {form}" --compressed', f"-o {path.strip('/')}.{ending}"
            yield command(
                f"All of it into a file, a line of {title} each", _curl(self._address, path, everything, accept, kept)
            )

    def _posting(self, path: str, operation: Schema) -> Block:
        sent = json.dumps(operation["requestBody"]["content"]["application/json"]["example"], ensure_ascii=False)
        options = ['-H "Content-Type: application/json"', f"--data {shlex.quote(sent)}"]
        answered = operation["responses"]["200"]["content"]["application/json"]["example"]
        title = "Send it, with the id and version of items that you have"
        return command(title, _curl(self._address, path, "", *options), stdout=answered)


def _errors(said: Schema, address: str) -> Iterator[Block]:
    yield words(
        "Every error is a problem document (RFC 9457): `type` is for programs and stays as it is, `detail` says in "
        "words what to change, and `errors` what is wrong with which parameter."
    )
    responses = dict(said["components"]["responses"])
    largest = _limit(said)["maximum"]
    wrong = responses["400"]["content"][MEDIA_TYPE]["examples"]["invalid-parameter"]["value"]
    yield command("Such as", _curl(address, "/completions", f"limit={largest + 1}"), stdout=wrong)
    body_refused = said["paths"]["/acknowledgements"]["post"]["responses"]["400"]
    shown = {
        (str(value["status"]), value["type"].removeprefix(TYPE)): value["detail"]
        for response in (body_refused, *responses.values())  # of two examples the general one
        for value in (each["value"] for each in response["content"][MEDIA_TYPE]["examples"].values())
    }
    rows = [(status, f"`{kind}`", detail) for (status, kind), detail in sorted(shown.items())]
    yield table("All there are", ["status", f"type, after {TYPE}", "such as"], rows)


def _limits(said: Schema, settings: Settings) -> Iterator[Block]:
    limit = _limit(said)
    at_once = Reader(said).found(_acknowledgements(said))["maxItems"]
    rows = [
        ("The Pull API", "switched on" if settings.pull else "switched off: every request gets 503"),
        ("Requests of one token within a minute", f"{settings.pull_per_minute:,}; then 429 with Retry-After"),
        ("Items of a page", f"{limit['default']}, or `limit` up to {limit['maximum']}"),
        ("A first call without since", f"what changed within the last {_days(settings)}"),
        ("Acknowledgements at once", f"{at_once}"),
        ("Acknowledgements are kept for", f"{settings.acknowledgement_retention.days} days"),
    ]
    yield table("As they are now", ["what", "limit"], rows)


def _days(settings: Settings) -> str:
    days = settings.pull_since.total_seconds() / 86_400
    return f"{days:g} days"


def _limit(said: Schema) -> Schema:
    [found] = [each for each in said["paths"]["/completions"]["get"]["parameters"] if each["name"] == "limit"]
    schema: Schema = found["schema"]
    return schema


def _acknowledgements(said: Schema) -> Schema:
    schema: Schema = said["paths"]["/acknowledgements"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return schema
