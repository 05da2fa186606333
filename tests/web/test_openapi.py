"""The OpenAPI document says what is so: of the parameters, the answers, the problems and the examples."""

import ast
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urljoin

import jsonschema_rs
import pytest
import requests
from schemathesis.specs.openapi.definitions import OPENAPI_31
from sqlalchemy import Engine, text

from tests.web import of_all_kinds
from tests.web.documented import Documented
from tests.web.puller import Puller
from totara_bridge.web.pull import cursor, feed
from totara_bridge.web.pull.acknowledgements import MOST, Sent
from totara_bridge.web.pull.app import pull_app
from totara_bridge.web.pull.completions import CompletionsAsked
from totara_bridge.web.pull.cursor import Feed
from totara_bridge.web.pull.directory import CoursesAsked, UsersAsked
from totara_bridge.web.pull.endpoint import LONGEST_BODY
from totara_bridge.web.pull.openapi.document import document
from totara_bridge.web.service import Service

MODELS: dict[str, type[feed.Asked]] = {"/completions": CompletionsAsked, "/users": UsersAsked, "/courses": CoursesAsked}
ITEMS = {"/completions": "Completion", "/users": "User", "/courses": "Course"}


@pytest.fixture
def staging(copy_of: Callable[[str], Engine], of_all_kinds_template: str) -> Engine:
    """A staging database with rows of all kinds."""
    return copy_of(of_all_kinds_template)


@pytest.fixture
def served(staging: Engine, address: str) -> Iterator[Puller]:
    """A caller of it, who may ask as often as can be asked."""
    with Puller(address, of_all_kinds.new_token(staging)) as calling:
        yield calling


@pytest.fixture
def documented() -> Documented:
    return Documented(document())


def judged(documented: Documented, path: str, answer: requests.Response) -> requests.Response:
    """The answer, which is as it is documented."""
    assert answer.request.method is not None
    documented.judge(answer.request.method, path, answer.status_code, answer.headers, answer.content)
    return answer


def test_the_document_is_one_of_openapi_and_json_schema(documented: Documented) -> None:
    jsonschema_rs.validator_for(OPENAPI_31).validate(documented.document)
    for name, schema in documented.document["components"]["schemas"].items():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
        assert documented.mistakes({"$ref": f"#/components/schemas/{name}"}, "nothing") != []


def test_it_is_served_to_whoever_has_a_token_and_its_server_is_where_it_is(served: Puller) -> None:
    answer = served.get("/openapi.json")
    assert answer.json() == document()
    assert answer.headers["content-type"] == "application/json"
    there = urljoin(served.address + "/openapi.json", answer.json()["servers"][0]["url"])
    assert there == served.address
    del served.session.headers["X-Api-Key"]
    assert served.get("/openapi.json").status_code == 401


def test_every_address_of_the_app_is_in_it_and_no_other(staging: Engine, documented: Documented) -> None:
    app = pull_app(Service(staging, threads=1))
    there = {(method, route.path) for route in app.routes for method in route.methods - {"HEAD"}}  # type: ignore[attr-defined]
    assert there == {(method, path) for method, path, _ in documented.operations()}


def test_every_example_is_what_its_schema_says(documented: Documented) -> None:
    seen = 0
    for schema, example in _examples(documented, documented.document):
        assert documented.mistakes(schema, example) == []
        seen += 1
    assert seen > 50


def test_the_cursors_that_it_shows_are_good(documented: Documented) -> None:
    for path, name in zip(ITEMS, get_args(Feed), strict=True):
        promised = documented.found(documented.document["paths"][path]["get"]["responses"]["200"])
        page = promised["content"]["application/json"]["example"]
        assert cursor.read(page["cursor"], name).after == page["items"][-1]["version"]


def _examples(documented: Documented, node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, list):
        for each in node:
            yield from _examples(documented, each)
    if not isinstance(node, dict):
        return
    if "schema" in node and "example" in node:
        yield node["schema"], node["example"]
    if "schema" in node and isinstance(node.get("examples"), dict):
        yield from ((node["schema"], each["value"]) for each in node["examples"].values())
    if "type" in node and isinstance(node.get("examples"), list):
        yield from ((node, each) for each in node["examples"])
    for each in node.values():
        yield from _examples(documented, each)


@pytest.mark.parametrize("path", MODELS)
def test_its_parameters_are_those_that_are_read(path: str, documented: Documented) -> None:
    said = {each["name"]: each["schema"] for each in documented.document["paths"][path]["get"]["parameters"]}
    read = MODELS[path].model_json_schema()["properties"]
    assert said.keys() == read.keys()
    said["site"] = said["site"] | {
        "minLength": 1,
        "maxLength": 255,
    }  # its pattern is narrower: all codes that there are fulfil it
    for name, schema in read.items():
        # what is read may be none, which stands for: not given
        bounds = {key: value for each in schema["anyOf"] for key, value in each.items() if key in BOUNDS}
        assert {key: said[name][key] for key in BOUNDS if key in said[name]} == bounds, name
        assert schema["default"] is None
    assert said["limit"]["default"] == feed.USUAL


BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")


def test_what_can_be_acknowledged_is_what_is_read(documented: Documented) -> None:
    schemas = documented.document["components"]["schemas"]
    said, read = schemas["Acknowledgement"], Sent.model_json_schema()
    assert (said["properties"].keys(), said["required"]) == (read["properties"].keys(), read["required"])
    for name, schema in read["properties"].items():
        bounds = {key: each[key] for each in schema.get("anyOf", [schema]) for key in BOUNDS if key in each}
        assert {key: said["properties"][name][key] for key in BOUNDS if key in said["properties"][name]} == bounds
    body = documented.document["paths"]["/acknowledgements"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["maxItems"] == MOST


def test_the_request_of_every_example_is_accepted(served: Puller, staging: Engine, documented: Documented) -> None:
    with staging.begin() as transaction:
        transaction.execute(
            text("UPDATE bridge.completion SET change_seq = 871234 WHERE (user_id, course_id) = (3, 20)")
        )
        transaction.execute(text("DELETE FROM bridge.completion WHERE (user_id, course_id) = (3, 21)"))
    for method, path, operation in documented.operations():
        if method == "POST":
            body = operation["requestBody"]["content"]["application/json"]["example"]
            example = operation["responses"]["200"]["content"]["application/json"]["example"]
            assert judged(documented, path, served.post(path, body)).json() == example
            continue
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "query" and "example" in parameter:
                example = parameter["example"]
                words = ",".join(example) if isinstance(example, list) else json.dumps(example).strip('"')
                answer = judged(documented, path, served.get(path, **{parameter["name"]: words}))
                assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", MODELS)
def test_every_row_is_as_it_says_in_every_format(path: str, served: Puller, documented: Documented) -> None:
    first = judged(documented, path, served.get(path, limit=5000)).json()
    of = {"cursor": judged(documented, path, served.get(path, limit=1)).json()["cursor"], "limit": 5000}
    pages = [first, judged(documented, path, served.get(path, **of)).json()]
    if path == "/completions":
        pages.append(judged(documented, path, served.get(path, since="1970-01-01", limit=5000)).json())
        assert _kinds(pages[-1]["items"]) == {"deleted", "nameless", "courseless", "twice", "rpl", "dateless"}
    lines = judged(documented, path, served.get(path, accept="application/x-ndjson")).content.splitlines()
    assert [json.loads(line) for line in lines] == first["items"]
    for item in [each for page in pages for each in page["items"]]:
        documented.must_be(ITEMS[path], item)
    text_ = judged(documented, path, served.get(path, accept="text/csv")).content.decode()
    header, *rows = csv.reader(io.StringIO(text_, newline=""))
    promised = documented.found(documented.document["paths"][path]["get"]["responses"]["200"])["content"]["text/csv"]
    assert promised["example"] == ",".join(header) + "\r\n"
    assert f"The columns: {', '.join(header)}." in promised["schema"]["description"]
    assert len(rows) == len(first["items"])


def _kinds(items: list[dict[str, Any]]) -> set[str]:
    """Of which kinds there are items, so that none is missing unnoticed."""
    kinds = {
        "deleted": any(each["deleted"] for each in items),
        "nameless": any(each["user"] is None for each in items),
        "courseless": any(each["course"] is None for each in items),
        "twice": any(len(each["instances"]) > 1 for each in items),
        "rpl": any(each["rpl"] == of_all_kinds.AWKWARD for each in items),
        "dateless": any(each["status"] == "complete" and each["timecompleted"] is None for each in items),
    }
    return {kind for kind, there in kinds.items() if there}


def test_one_completion_and_its_acknowledgements_are_as_it_says(served: Puller, documented: Documented) -> None:
    items = served.fetch(since="1970-01-01", limit=5000)["items"]
    fresh, old = items[-1], items[0]
    said = [
        {"id": fresh["id"], "status": "rejected", "version": fresh["version"], "message": of_all_kinds.AWKWARD},
        {"id": old["id"], "status": "received", "version": old["version"] - 1 or 1},
        {"id": "sbx-1-999999", "status": "received"},
        {"id": ["sbx"], "status": "received"},
        None,
    ]
    for _ in range(2):
        answer = judged(documented, "/acknowledgements", served.post("/acknowledgements", said))
        assert {each["result"] for each in answer.json()["results"]} > {"unknown", "invalid"}
    for each in items[:: len(items) // 40]:
        one = judged(documented, "/completions/{id}", served.get(f"/completions/{each['id']}")).json()
        assert one == (each if one["acknowledgement"] is None else each | {"acknowledgement": one["acknowledgement"]})


def test_the_status_is_as_it_says_whether_promises_are_kept_or_not(
    served: Puller, staging: Engine, documented: Documented
) -> None:
    first = judged(documented, "/status", served.get("/status"))
    with staging.begin() as transaction:
        transaction.execute(text("UPDATE bridge.watermark SET extracted_at = extracted_at - interval '9 days'"))
    broken = judged(documented, "/status", served.get("/status"))
    assert (broken.status_code, broken.json()["status"]) == (503, "broken")
    assert first.status_code in (200, 503)


def test_every_refusal_is_as_it_says(served: Puller, staging: Engine, documented: Documented) -> None:
    cases: list[tuple[int, str, requests.Response]] = []
    for method, path, _ in documented.operations():
        where = path.replace("{id}", "sbx-3-20")
        cases.append((400, path, _ask(served, method, where, params={"nonsense": "1"})))
        cases.append((401, path, _ask(served, method, where, headers={"X-Api-Key": "tbk_"})))
        cases.append((414, path, _ask(served, method, where, params={"nonsense": "1" * 9000})))
        if method == "GET":
            cases.append((406, path, _ask(served, method, where, headers={"Accept": "image/png"})))
    post = f"{served.address}/acknowledgements"
    cases.append((404, "/completions/{id}", served.get("/completions/sbx-1-999999")))
    cases.append((415, "/acknowledgements", served.session.post(post, data="[]", timeout=60)))
    cases.append((413, "/acknowledgements", served.post("/acknowledgements", [1] * 5001)))
    cases.append((413, "/acknowledgements", served.session.post(post, data=b" " * (LONGEST_BODY + 1), timeout=60)))
    for status, path, answer in cases:
        assert judged(documented, path, answer).status_code == status, answer.text


def _ask(served: Puller, method: str, where: str, **more: Any) -> requests.Response:
    body = [{"id": "sbx-3-20", "status": "received"}] if method == "POST" else None
    return served.session.request(method, served.address + where, json=body, timeout=60, **more)


def test_what_the_gate_and_the_bridge_say_is_as_it_says(
    served: Puller, staging: Engine, documented: Documented, caplog: pytest.LogCaptureFixture
) -> None:
    for status, kind, change in (
        (403, "missing-scope", "UPDATE bridge.api_token SET scopes = '{acknowledge}'"),
        (403, "wrong-address", "UPDATE bridge.api_token SET networks = '{192.0.2.0/24}'"),
        (503, "switched-off", "UPDATE bridge.setting SET name = 'pull', value = 'false'"),
        (503, "misconfigured", "UPDATE bridge.setting SET value = '\"nonsense\"'"),
        (429, "too-many-requests", "UPDATE bridge.setting SET name = 'pull_per_minute', value = '1'"),
        (500, "internal-error", "ALTER TABLE bridge.completion RENAME TO somewhere_else"),
    ):
        undo = "UPDATE bridge.api_token SET scopes = '{read, acknowledge}', networks = '{}'"
        with staging.begin() as transaction:
            transaction.execute(text(undo))
            transaction.execute(text(change))
        if status == 500:
            with staging.begin() as transaction:
                transaction.execute(text("DELETE FROM bridge.setting"))
                transaction.execute(text("DELETE FROM bridge.api_token_pace"))
        answers = [judged(documented, "/completions", served.get("/completions")) for _ in range(2)]
        assert (answers[-1].status_code, answers[-1].json().get("type", "").rpartition(":")[2]) == (status, kind)


def test_every_kind_of_problem_that_the_code_has_is_in_it_and_no_other(documented: Documented) -> None:
    room = Path(feed.__file__).parent
    sources = [*room.glob("*.py"), room.parent / "problem.py", room.parent / "service.py"]
    calls = [each for path in sources for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.Call)]
    problems = [each for each in calls if isinstance(each.func, ast.Name) and each.func.id == "Problem"]
    raised = {kind.value for call in problems for kind in call.args[1:2] if isinstance(kind, ast.Constant)}
    answers = [answer for _, _, operation in documented.operations() for answer in operation["responses"].values()]
    contents = [documented.found(answer)["content"] for answer in answers]
    said = {kind for each in contents for kind in each.get("application/problem+json", {"examples": ()})["examples"]}
    assert said == raised - {"method-not-allowed"}


def test_nothing_is_asked_that_is_not_read_and_nothing_unread_is_promised(documented: Documented) -> None:
    """Every schema is used, and every named part is there."""
    written = json.dumps(documented.document)
    for kind, parts in documented.document["components"].items():
        if kind != "securitySchemes":
            for name in parts:
                assert f'"#/components/{kind}/{name}"' in written, name
    assert [*get_args(Feed)] == [path.removeprefix("/") for path in ITEMS]
