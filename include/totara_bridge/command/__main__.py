"""``python -m totara_bridge.command``: the commands, and how each of their failures ends in one sentence."""

import argparse
import logging
import sys
from collections.abc import Sequence

from sqlalchemy.exc import OperationalError

from totara_bridge.command import alerts, bodies, check_endpoint, errors, item, preview, setting, token, trace, why
from totara_bridge.errors import BridgeError
from totara_bridge.printable import visible

_NOT_DONE = 2


def main(arguments: Sequence[str] | None = None, *, program: str = "python -m totara_bridge.command") -> int:
    """Run one command; its exit code, or 2 where it could not be run."""
    parser = argparse.ArgumentParser(prog=program, description="Ask the bridge, in a maintainer's shell.")
    subcommands = parser.add_subparsers(metavar="command", required=True)
    for each in (why, trace, errors, alerts, item, preview, bodies, setting, token, check_endpoint):
        each.register(subcommands)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    asked = parser.parse_args(arguments)
    try:
        return int(asked.run(asked))
    except BridgeError as error:
        return _fail(str(error))
    except OperationalError as error:
        words = str(error.orig).strip().splitlines()[0]
        return _fail(f"The staging database of TOTARA_BRIDGE_DATABASE_URL cannot be used: {words}")
    except KeyboardInterrupt:
        return _fail("Interrupted.")


def _fail(sentence: str) -> int:
    print(visible(sentence), file=sys.stderr)
    return _NOT_DONE


if __name__ == "__main__":
    sys.exit(main())
