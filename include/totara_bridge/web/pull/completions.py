"""``GET /completions`` and ``GET /completions/{id}``."""

from totara_bridge.web.pull.call import Answer, Call


def completions(call: Call) -> Answer:
    """Not yet."""
    raise NotImplementedError


def completion(call: Call) -> Answer:
    """Not yet."""
    raise NotImplementedError
