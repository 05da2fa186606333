"""Answers of the web services as they go over the wire: JSON as PHP writes it, or XML."""

import json
from typing import Any
from xml.sax.saxutils import escape

from starlette.responses import Response

from totara_bridge.sandbox.totara.http.refusal import Refusal

_HEADERS = {
    "Cache-Control": "private, must-revalidate, pre-check=0, post-check=0, max-age=0",
    "Expires": "Thu, 01 Jan 1970 00:00:00 GMT",
    "Pragma": "no-cache",
    "Accept-Ranges": "none",
}
_XML_HEADERS = {"Content-Disposition": 'inline; filename="response.xml"'}
_XML_START = '<?xml version="1.0" encoding="UTF-8" ?>\n'


def answered(value: Any, form: str) -> Response:
    """What a function gave."""
    if form == "json":
        return _json(value)
    return _xml(f"<RESPONSE>\n{_element(value)}</RESPONSE>\n")


def refused(refusal: Refusal, form: str, *, debugging: bool) -> Response:
    """What a call that was refused gets: with status 200, as if all were well."""
    why = {"debuginfo": refusal.reason} if debugging and refusal.reason else {}
    if form == "json":
        told = {"exception": refusal.kind, "errorcode": refusal.code, "message": refusal.message}
        return _json(told | why)
    lines = [f"<ERRORCODE>{escape(refusal.code)}</ERRORCODE>", f"<MESSAGE>{escape(refusal.message)}</MESSAGE>"]
    lines += [f"<DEBUGINFO>{escape(words)}</DEBUGINFO>" for words in why.values()]
    body = "\n".join([f'<EXCEPTION class="{refusal.kind}">', *lines, "</EXCEPTION>\n"])
    return _xml(body)


def off() -> Response:
    """What every call gets where web services or this protocol are off."""
    return Response("", 403, {"Content-Type": "text/html; charset=utf-8"})


def _json(value: Any) -> Response:
    body = json.dumps(value, separators=(",", ":")).replace("/", "\\/")
    headers = {"Content-Type": "application/json", **_HEADERS, "Access-Control-Allow-Origin": "*"}
    return Response(body, 200, headers)


def _xml(body: str) -> Response:
    headers = {"Content-Type": "application/xml; charset=utf-8", **_XML_HEADERS, **_HEADERS}
    return Response(_XML_START + body, 200, {**headers, "Access-Control-Allow-Origin": "*"})


def _element(value: Any) -> str:
    """A value in the element of its kind; a success in XML was not recorded, this is how Moodle writes it."""
    if isinstance(value, list):
        return "<MULTIPLE>\n" + "".join(map(_element, value)) + "</MULTIPLE>\n"
    if isinstance(value, dict):
        keys = (f'<KEY name="{name}">{_element(one)}</KEY>\n' for name, one in value.items())
        return "<SINGLE>\n" + "".join(keys) + "</SINGLE>\n"
    if value is None:
        return '<VALUE null="null"/>\n'
    return f"<VALUE>{escape(str(int(value) if isinstance(value, bool) else value))}</VALUE>\n"
