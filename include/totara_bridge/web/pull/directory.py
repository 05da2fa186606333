"""``GET /users`` and ``GET /courses``."""

from totara_bridge.web.pull.call import Answer, Call


def users(call: Call) -> Answer:
    """Not yet."""
    raise NotImplementedError


def courses(call: Call) -> Answer:
    """Not yet."""
    raise NotImplementedError
