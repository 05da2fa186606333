"""`python -m tests.chaos`: play random rounds, and print the table; a failing one can be played again."""

import argparse
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.chaos import matrix, rounds
from tests.chaos.matrix import HOLDS, Row
from tests.chaos.scene import Scene
from tests.chaos.staging import StagingServer
from totara_bridge.sandbox.oracle.server import SandboxOracle


def main() -> int:
    """Play what was asked for; whether anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="of the plans; none: a new one")
    parser.add_argument("--rounds", type=int, default=20, help="how many")
    parser.add_argument("--round", type=int, help="this one only")
    asked = parser.parse_args()
    numbers = range(1, asked.rounds + 1) if asked.round is None else [asked.round]
    print(f"seed {asked.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="tbt", dir="/tmp"))
    staging = StagingServer(folder / "postgres")
    try:
        rows = [*_play(staging, folder, asked.seed, numbers)]
    finally:
        staging.stop()
        shutil.rmtree(folder / "postgres")
    print("", *matrix.table(rows), sep="\n")
    failed = [number for number, row in zip(numbers, rows, strict=True) if row.verdict != HOLDS]
    for number in failed:
        print(f"\nRound {number} failed; what its senders logged is {folder}/{number}.log; play it again with:")
        print(f"    make rounds SEED={asked.seed} ROUND={number}")
    if not failed:
        shutil.rmtree(folder)
    return bool(failed)


def _play(staging: StagingServer, folder: Path, seed: int, numbers: Iterable[int]) -> Iterable[Row]:
    for number in numbers:
        print(f"round {number}: {rounds.plan(seed, number)}", flush=True)
        with SandboxOracle() as oracle:
            scene = Scene(staging, oracle, folder / f"{number}.log")
            try:
                row = rounds.play(scene, seed, number)
            finally:
                scene.close()
        print(f"    {row.verdict}", flush=True)
        yield row


if __name__ == "__main__":
    raise SystemExit(main())
