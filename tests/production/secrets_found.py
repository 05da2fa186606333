"""Where a secret stands in files, however it is written: plain, in a URL, in JSON, in base64, also amid other words."""

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus


class Found(NamedTuple):
    """A secret that stands in a file."""

    secret: str  #: its name
    file: Path


def found(secrets: Mapping[str, str], folders: Sequence[Path], *, but: Sequence[str] = ()) -> set[Found]:
    """All places below some folders, in the content of a file or in its path.

    :param secrets: by name.
    :param but: names of files and folders that are not looked into.
    """
    names = {form: name for name, secret in secrets.items() for form in forms(secret)}
    options = [f"--{kind}={each}" for each in but for kind in ("exclude", "exclude-dir")]
    # grep takes many words at once in one go; they are no argument, since a process list shows those
    command = ["grep", "--recursive", "--text", "--fixed-strings", "--only-matching", "--null", *options, "--file=-"]
    asked = subprocess.run(
        [*command, *map(str, folders)], input=b"\n".join(sorted(names)), capture_output=True, check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )  # fmt: skip
    # a server at work puts away files that grep was about to read
    gone = all(line.endswith(b": No such file or directory") for line in asked.stderr.splitlines())
    assert asked.returncode in (0, 1) or gone, asked.stderr.decode()
    lines = (line.partition(b"\0") for line in asked.stdout.splitlines())
    inside = {Found(names[form], Path(file.decode())) for file, _, form in lines}
    return inside | set(_in_paths(names, folders))


def forms(secret: str) -> set[bytes]:
    """How a secret can be written."""
    plain = secret.encode()
    written = {plain, quote(secret, safe="").encode(), quote(secret).encode(), quote_plus(secret).encode()}
    written |= {json.dumps(secret, ensure_ascii=ascii)[1:-1].encode() for ascii in (True, False)}  # noqa: A001
    for before in range(3):  # whatever stands before it moves its bits
        whole = base64.b64encode(b"\0" * before + plain + b"\0" * (-(before + len(plain)) % 3))
        kept = whole[(8 * before + 5) // 6 : len(whole) - _spoilt(before + len(plain))]
        written |= {kept, kept.replace(b"+", b"-").replace(b"/", b"_")}
    return written


def _spoilt(length: int) -> int:
    """Characters at the end of a base64 text that what comes after so many bytes changes."""
    return {0: 0, 1: 3, 2: 2}[length % 3]


def _in_paths(names: Mapping[bytes, str], folders: Sequence[Path]) -> Iterator[Found]:
    for folder in folders:
        for file in folder.rglob("*"):
            path = str(file).encode()
            yield from (Found(name, file) for form, name in names.items() if form in path)
