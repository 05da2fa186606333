"""`python -m benchmarks`: measure, and print one table; see docs/benchmarks.md."""

import argparse
import logging
import shlex
from collections.abc import Callable, Iterable

from benchmarks import (
    beside,
    celery_scaling,
    celery_stack,
    first_load,
    growth,
    panel_overview,
    pull_rate,
    purge_rate,
    push_rate,
    queue_rate,
    report,
    server,
    staging_size,
    web_services,
)
from benchmarks.report import Line
from benchmarks.server import Server

_COMPLETIONS = 200_000

#: Needs more than a fresh machine has.
_ONLY_WHEN_ASKED = {"celery"}


def _benchmarks(completions: int | None) -> dict[str, Callable[[Server], Iterable[Line]]]:
    """By name, in the order of the table."""
    return {
        "copy": lambda running: first_load.against_copy(running, completions or _COMPLETIONS),
        "dlt": lambda running: first_load.against_dlt(running, completions or _COMPLETIONS),
        "memory": lambda running: growth.memory(running, completions or growth.LARGE),
        "incremental": lambda running: growth.incremental(running, completions or growth.LARGE),
        "web": web_services.crawl,
        "queue": queue_rate.against_pgqueuer,
        "disturbed": queue_rate.disturbed,
        "push": push_rate.push,
        "purge": purge_rate.purge,
        "beside": beside.backfill,
        "pull": lambda running: pull_rate.pull(running, completions or pull_rate.COMPLETIONS),
        "panel": panel_overview.page,
        "size": lambda _: staging_size.sizes(completions or growth.LARGE),
        "celery": lambda _: celery_scaling.scaling(),
    }


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--completions", type=int, help="how large the large site is")
    parser.add_argument("--only", action="append", choices=list(_benchmarks(None)), help="one of them; may be repeated")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    lines: dict[str, list[Line]] = {}
    with server.running() as running:
        measures = _benchmarks(asked.completions)
        wanted = asked.only or measures.keys() - _ONLY_WHEN_ASKED
        for name, measure in measures.items():
            if name in wanted:
                print(f"measuring: {name}", flush=True)
                for line in measure(running):
                    print("  ", *line.cells(), sep="  ", flush=True)
                    lines.setdefault(_part(name), []).append(line)
        embedded = running.version()
    for part, of_part in lines.items():
        measured_on = report.machine(celery_stack.postgresql() if part == "scaling" else embedded)
        print(f"\n{part}, {measured_on}\n\n{report.table(of_part)}")
        if asked.write:
            report.write(part, _command(asked), measured_on, of_part)


def _part(name: str) -> str:
    """The part of the page that a benchmark's table is in."""
    apart = {"panel": "panel", "pull": "pulling", "size": "growing", "celery": "scaling"}
    if name in apart:
        return apart[name]
    return "delivering" if name in ("queue", "disturbed", "push", "purge", "beside") else "extracting"


def _command(asked: argparse.Namespace) -> str:
    """What repeats it."""
    words = ["python", "-m", "benchmarks"]
    if asked.completions:
        words += ["--completions", str(asked.completions)]
    for name in asked.only or ():
        words += ["--only", name]
    return shlex.join(words)


if __name__ == "__main__":
    main()
