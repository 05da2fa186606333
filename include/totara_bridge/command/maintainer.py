"""Who runs a command: their name is kept beside what they did."""

import os
from getpass import getuser


def maintainer() -> str:
    """The name of who runs the command; of a user without one, as in some containers, the number: ``uid 5000``."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
