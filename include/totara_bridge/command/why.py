"""``why``: why a learner's completion of a course was or was not sent."""

import argparse
from datetime import UTC, datetime

from totara_bridge.config import read_config
from totara_bridge.printable import visible
from totara_bridge.staging.database import staging
from totara_bridge.why_not import Answer, why_not


def register(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``why``."""
    parser = subcommands.add_parser("why", help="why a learner's completion of a course was or was not sent")
    parser.add_argument("--site", required=True, metavar="CODE", help="the site's code in bridge.toml")
    parser.add_argument("--learner", required=True, type=_row_id, metavar="ID", help="Totara's number of the user")
    parser.add_argument("--course", required=True, type=_row_id, metavar="ID", help="Totara's number of the course")
    parser.add_argument("--destination", metavar="CODE", help="only this one of bridge.toml; without it: all")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the answers.

    :raises ConfigurationInvalid: bridge.toml has no such site or destination.
    """
    for answer in _asked(arguments):
        print(visible(_line(answer)))
    return 0


def _row_id(given: str) -> int:
    if not given.isdecimal() or not 0 < int(given) < 2**63:
        raise argparse.ArgumentTypeError(f"{given} is no number of a row in Totara")
    return int(given)


def _asked(arguments: argparse.Namespace) -> list[Answer]:
    config = read_config()
    with staging(connections=1) as engine:
        return why_not(
            engine,
            config,
            site=arguments.site,
            user_id=arguments.learner,
            course_id=arguments.course,
            destination=arguments.destination,
            now=datetime.now(UTC),
        )


def _line(answer: Answer) -> str:
    if answer.destination is None:
        return answer.sentence
    done = answer.time_completed
    completed = f"completed {done.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if done else "completed, without a date"
    return f"{answer.destination}, {answer.record_key}, {completed}: {answer.sentence}"
