"""``GET /status``."""

from totara_bridge.web.pull.call import Answer, Call


def status(call: Call) -> Answer:
    """Not yet."""
    raise NotImplementedError
