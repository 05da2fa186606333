"""``preview``: a destination's newest items as the template in bridge.toml would make them now; nothing is changed."""

import argparse
import sys
from collections.abc import Iterator

from totara_bridge.config import read_config
from totara_bridge.preview import Preview, preview
from totara_bridge.printable import visible
from totara_bridge.staging.database import staging

_NOTHING = 1


def register(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``preview``."""
    parser = subcommands.add_parser(
        "preview", help="what a destination's newest items would look like with the template as it is configured now"
    )
    parser.add_argument("--destination", required=True, metavar="CODE", help="a destination of bridge.toml")
    parser.add_argument("--limit", type=_count, default=5, help="how many completions, newest first (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the items as they would be enqueued; 1 where there is no completion on the route."""
    with staging(connections=1) as engine:
        found = preview(engine, read_config(), arguments.destination, arguments.limit)
    if not found:
        sentence = f"There is no completion on the route of {arguments.destination}: extract, or look at its route."
        print(sentence, file=sys.stderr)
        return _NOTHING
    print(visible("\n\n".join("\n".join(_lines(each)) for each in found)))
    return 0


def _lines(item: Preview) -> Iterator[str]:
    fate = f"would be held for {', '.join(item.missing)}" if item.missing else "would be queued"
    yield f"site {item.site}, user {item.user_id}, course {item.course_id}, template {item.template}: {fate}"
    yield item.payload


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError("give a number from 1 to 1000")
    return int(text)
