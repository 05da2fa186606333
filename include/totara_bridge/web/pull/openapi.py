"""``GET /openapi.json``: the document of this API (OpenAPI 3.1)."""

from totara_bridge.web.pull.call import Answer, Call


def openapi(call: Call) -> Answer:
    """Not yet."""
    raise NotImplementedError
