"""The control panel's page puts words in as text only: React escapes them, and nothing in it goes around React."""

import re
from pathlib import Path

import pytest

from totara_bridge.web.panel.static import FOLDER

#: Ways to have a browser take words for markup or for a program.
_AROUND = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|createContextualFragment|document\.write|srcdoc"
    r"|\beval\(|new Function|setTimeout\(\s*[\"'`]|javascript:|document\.cookie"
)
#: Of our own files; `vendor` has htm, which makes calls of React from templates and puts no words in.
_OURS = [file for file in sorted(FOLDER.rglob("*.js")) if file.parent.name != "vendor"]


@pytest.mark.parametrize("file", _OURS, ids=lambda file: file.relative_to(FOLDER).as_posix())
def test_nothing_goes_around_react(file: Path) -> None:
    assert not _AROUND.findall(file.read_text())


def test_the_reader_sees_what_it_looks_for() -> None:
    for way in ("a.innerHTML = b", "<div dangerouslySetInnerHTML=${x}>", 'href="javascript:alert(1)"', "eval(x)"):
        assert _AROUND.search(way)


def test_an_address_outside_the_page_is_made_here_and_never_of_words() -> None:
    """A learner's or a destination's words could be an address that runs a program; the router's links are paths."""
    links = {link for file in _OURS for link in re.findall(r"\b(?:href|src|formaction)=\S{1,10}", file.read_text())}
    assert links == {"href=${address("}
