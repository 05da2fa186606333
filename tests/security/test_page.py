"""What docs/security.md names as shown by a test is shown by one that is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_every_test_that_the_page_names_is_there() -> None:
    there = {file.name: file for file in (ROOT / "tests").rglob("test_*.py")}
    named = re.findall(r"`(tests/[\w/]+/)?(test_\w+\.py)(?:::(test_\w+))?`", PAGE)
    assert len(named) > 50
    for folder, name, test in named:
        assert name in there, name
        assert not folder or (ROOT / folder / name).is_file(), f"{folder}{name}"
        assert not test or f"def {test}(" in there[name].read_text(), test
    for pattern in re.findall(r"`(tests/[^`]*\*[^`]*)`", PAGE):
        assert list(ROOT.glob(pattern)), pattern


def test_every_test_of_this_room_is_named() -> None:
    room = {file.name for file in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name}
    covered = {file.name for pattern in ("test_tls_*.py",) for file in Path(__file__).parent.glob(pattern)}
    assert {name for name in room if name not in PAGE} <= covered
