"""The local run as a program: ``python -m totara_bridge.local up``, ``down``, ``reset`` or ``status``."""

import argparse
import errno
import sys

from sqlalchemy.exc import SQLAlchemyError

from totara_bridge.errors import BridgeError
from totara_bridge.local.down import down, reset
from totara_bridge.local.up import ask, status, up

_COMMANDS = {"up": up, "down": down, "reset": reset, "status": status}
_INTERRUPTED = 130


def main() -> int:
    """Do what was asked; whatever goes wrong is one sentence."""
    parser = argparse.ArgumentParser(prog="python -m totara_bridge.local")
    parser.add_argument("command", choices=(*_COMMANDS, "ask"))
    parser.add_argument("question", nargs=argparse.REMAINDER, help="of ask: a command of totara_bridge.command")
    word, *question = sys.argv[1:] or ["--help"]
    try:
        if word == "ask":  # before the parser sees it: its options are the question's
            return ask(question)
        _COMMANDS[parser.parse_args().command]()
    except BridgeError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return _fail("The disk is full: free 1 GB, then run the same command again, which goes on from here.")
    except SQLAlchemyError as error:
        words = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        return _fail(
            f"A database of the local run failed: {words}. Free some disk if it is full, then `make up` again."
        )
    except KeyboardInterrupt:
        print("\nInterrupted; `make up` goes on from here, `make down` stops what runs.", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
