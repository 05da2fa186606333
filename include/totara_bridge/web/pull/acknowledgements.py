"""``POST /acknowledgements``."""

from totara_bridge.web.pull.call import Answer, Call


def acknowledge(call: Call) -> Answer:
    """Not yet."""
    raise NotImplementedError
