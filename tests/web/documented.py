"""The OpenAPI document as a judge: whether an answer is one that it promises."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import jsonschema_rs

from totara_bridge.web.problem import MEDIA_TYPE

_THIS = "urn:document"


class Documented:
    """What the document says."""

    def __init__(self, document: dict[str, Any]) -> None:
        """It can be a copy."""
        self.document = document
        self._registry = jsonschema_rs.Registry([(_THIS, document)])
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Method, path and what is said of them."""
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def found(self, said: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a reference stands for."""
        while "$ref" in said:
            place: Any = self.document
            for step in said["$ref"].removeprefix("#/").split("/"):
                place = place[step]
            said = place
        return said

    def mistakes(self, schema: Mapping[str, Any], value: object) -> list[str]:
        """In what the value differs from the schema; nothing: in nothing."""
        written = json.dumps(schema)
        if written not in self._validators:
            self._validators[written] = jsonschema_rs.Draft202012Validator(
                {"$id": "urn:asked", "allOf": [_absolute(schema)]}, validate_formats=True, registry=self._registry
            )
        return [f"{each.instance_path}: {each.message[:300]}" for each in self._validators[written].iter_errors(value)]

    def must_be(self, name: str, value: object) -> None:
        """The value is what the schema with this name says."""
        assert self.mistakes({"$ref": f"#/components/schemas/{name}"}, value) == []

    def judge(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """The answer is one that the document promises for the operation.

        :param path: as the document has it, with what varies in braces.
        :param headers: found whatever case they are in.
        """
        operation = self.document["paths"][path][method.lower()]
        assert str(status) in operation["responses"], f"{method} {path} answered {status}: {body[:300]!r}"
        promised = self.found(operation["responses"][str(status)])
        for name, header in promised.get("headers", {}).items():
            self._judge_header(name, self.found(header), headers)
        media_type = headers["content-type"].partition(";")[0]
        content = promised["content"][media_type]
        if media_type in ("application/json", MEDIA_TYPE):
            value = json.loads(body)
            assert self.mistakes(content["schema"], value) == []
        if media_type == MEDIA_TYPE:
            assert value["status"] == status
            assert value["title"] == HTTPStatus(status).phrase
            assert value["type"].rpartition(":")[2] in content["examples"], value

    def _judge_header(self, name: str, header: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        if name not in headers:
            assert not header.get("required"), name
            return
        value = headers[name]
        assert self.mistakes(header["schema"], int(value) if header["schema"]["type"] == "integer" else value) == []


def _absolute(schema: Any) -> Any:
    """The same, with references that are good outside of the document."""
    if isinstance(schema, dict):
        return {
            key: _THIS + each if key == "$ref" and isinstance(each, str) else _absolute(each)
            for key, each in schema.items()
        }
    return [_absolute(each) for each in schema] if isinstance(schema, list) else schema
