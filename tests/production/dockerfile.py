"""The Dockerfile as its instructions."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
FILE = PROJECT / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    """One of them, its continued lines joined."""

    name: str
    words: tuple[str, ...]


def stages(file: Path = FILE) -> list[list[Instruction]]:
    """The instructions of each stage; what stands before the first ``FROM`` is a stage of its own, the first."""
    found: list[list[Instruction]] = [[]]
    for each in _instructions(file.read_text()):
        if each.name == "FROM":
            found.append([])
        found[-1].append(each)
    return found


def taken(stage: list[Instruction]) -> dict[str, str]:
    """What a stage copies from the project: where to, by path."""
    copies = [each.words for each in stage if each.name == "COPY" and not each.words[0].startswith("--from=")]
    return {source: words[-1] for words in copies for source in words[:-1]}


def _instructions(text: str) -> list[Instruction]:
    without_comments = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", without_comments).splitlines()
    found = (line.split(maxsplit=1) for line in lines if line.strip())
    return [Instruction(name, tuple(shlex.split(rest))) for name, rest in found]
