"""`python -m tests.chaos.whole`: everything at work, one fault after another at random, and what came of it."""

import argparse
import random
import secrets
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.whole import audit, table
from tests.chaos.whole.bring_up import everything
from tests.chaos.whole.faults import BY_NAME, Fault, drawn
from tests.chaos.whole.play import Outcome, play
from tests.chaos.whole.scene import Scene
from tests.short_lived import new_folder


def main() -> int:
    """Play for so long; whether anything failed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # whoever stops it leaves nothing running
    asked = _arguments()
    again = _again(asked)
    print(f"seed {asked.seed}", flush=True)
    outcomes: list[Outcome] = []
    with _folder() as root:
        try:
            with everything(root, random.Random(asked.seed), _say) as scene:
                found = _play(scene, asked, outcomes)
        except Exception as error:  # whatever it is, what everybody said is kept
            traceback.print_exc()
            found = [f"{type(error).__name__}: {error}"]
        words = f"{len(outcomes)} faults in {asked.minutes:g} minutes"
        print(f"\n{table.table(outcomes)}\n" if outcomes else "", *found, sep="\n")
        if failed := bool(found) or any(each.broken for each in outcomes):
            print(f"\nIt failed. What everybody said is in {_keep(root)}; play it again with:\n    {again}")
    print(f"{words}: {'FAILED' if failed else 'nothing lost, nothing twice'}.")
    if asked.write and not failed:
        table.write(again, f"{words}; nothing was lost, nothing came twice.", outcomes)
    return failed


def _again(asked: argparse.Namespace) -> str:
    """What plays the same faults."""
    if not asked.only:
        return f"make chaos MINUTES={asked.minutes:g} SEED={asked.seed}"
    only = [word for name in asked.only for word in ("--only", name)]
    return shlex.join(
        ["python", "-m", "tests.chaos.whole", "--minutes", f"{asked.minutes:g}", "--seed", str(asked.seed), *only]
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.whole", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="for how long faults strike (%(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="of the faults; none: a new one")
    parser.add_argument("--only", action="append", choices=[*BY_NAME], help="this fault; repeatable")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    return parser.parse_args()


def _play(scene: Scene, asked: argparse.Namespace, outcomes: list[Outcome]) -> list[str]:
    """Let faults strike until the time is over; what is broken in the end."""
    end = time.monotonic() + 60 * asked.minutes
    for fault in _faults(asked):
        if time.monotonic() > end:
            break
        _say(f"{fault.name} …")
        outcome = play(scene, fault)
        outcomes.append(outcome)
        _say(
            f"    {outcome.at_stake} items at stake; panel and API after {outcome.served:.0f} s, all well after "
            f"{outcome.well:.0f} s, delivered after {outcome.delivered or 0:.0f} s; ended by themselves: "
            f"{table.named(outcome.by_itself) or 'none'}{''.join(f'; {each}' for each in outcome.broken)}"
        )
    _say(f"All faults are over; in Totara happened: {dict(scene.life.happened)}. The rest is delivered and compared.")
    audit.settle(scene)
    received = scene.oracle.received()
    _say(f"Oracle was sent {received['items_received']} items and has {received['keys_stored']}; the puller has "
         f"{len(scene.follower.copy)} completions and was {scene.follower.refused} times refused.")  # fmt: skip
    return [*audit.broken(scene)]


def _faults(asked: argparse.Namespace) -> Iterator[Fault]:
    drawing = drawn(random.Random(asked.seed))
    return (each for each in drawing if not asked.only or each.name in asked.only)


@contextmanager
def _folder() -> Iterator[Path]:
    root = new_folder("tbc")
    root.chmod(0o711)  # PostgreSQL runs as somebody else
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _keep(root: Path) -> Path:
    """Put what services and tasks said where it stays."""
    kept = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    for name in ("service-logs", "logs", "oracle.sqlite", "postgres/log"):
        if (root / name).exists():  # it may have failed before
            shutil.move(root / name, kept / name.replace("/", "-"))
    return kept


def _say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
