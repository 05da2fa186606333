"""The page's modules, read as text: nothing builds them, so a name that is not there would show in a browser only."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from totara_bridge.web.panel.pages import pages
from totara_bridge.web.panel.static import FOLDER, VERSION

_STATEMENT = re.compile(r"^(?:import|export)\s+(?:([^;\"'`()]*?)\s+from\s+)?\"([^\"]+)\";", re.MULTILINE)
_DYNAMIC = re.compile(r"\bimport\(\s*(?!\")")
_DECLARED = re.compile(r"^export\s+(?:async\s+)?(?:function\*?|class|const|let)\s+(\w+)", re.MULTILINE)
_UNPACKED = re.compile(r"^export\s+const\s+\{([^}]*)\}\s*=", re.MULTILINE)
_LISTED = re.compile(r"^export\s+\{([^}]*)\}", re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/|^\s*//[^\n]*", re.DOTALL | re.MULTILINE)

_FILES = sorted(file for file in FOLDER.rglob("*.js"))
_OURS = [file for file in _FILES if file.parent.name != "vendor"]


@dataclass(frozen=True)
class Module:
    """What one module takes from others, and what it has for them."""

    imports: tuple[tuple[Path, frozenset[str]], ...]  #: other modules, and the names that are taken from each
    exports: frozenset[str]
    text: str  #: without comments


def _names(listed: str, side: int) -> set[str]:
    """The names of ``{a, b as c}``: of each pair the first or the last."""
    return {re.split(r"\s+as\s+|\s*:\s*", each.strip())[side] for each in listed.split(",") if each.strip()}


def _taken(clause: str | None) -> frozenset[str]:
    if clause is None:
        return frozenset()
    listed = "".join(re.findall(r"\{([^}]*)\}", clause))
    default = re.match(r"\w+", clause)
    return frozenset(_names(listed, 0) | ({"default"} if default else set()))


@cache
def _module(file: Path) -> Module:
    text = _COMMENT.sub("", file.read_text())
    exports = set(_DECLARED.findall(text)) | (
        {"default"} if re.search(r"\bexport default\b|\bas default\b", text) else set()
    )
    for listed in (*_UNPACKED.findall(text), *_LISTED.findall(text)):
        exports |= _names(listed, -1)
    imports = tuple((file.parent / path, _taken(clause)) for clause, path in _STATEMENT.findall(text))
    return Module(tuple((path.resolve(), names) for path, names in imports), frozenset(exports), text)


def _name(file: Path) -> str:
    return file.relative_to(FOLDER).as_posix()


@pytest.fixture(params=_OURS, ids=_name)
def file(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_a_module_is_short(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert len(lines) <= 250
    assert not [number for number, line in enumerate(lines, 1) if len(line) > 180]


def test_a_module_says_first_what_is_true_of_it_and_is_checked(file: Path) -> None:
    first, second = file.read_text().splitlines()[:2]
    assert first == "// @ts-check"
    assert second.startswith(("// ", "/** "))


def test_what_a_module_imports_is_there(file: Path) -> None:
    for other, names in _module(file).imports:
        assert other in _FILES, f"{_name(file)} imports {other.name}, which is not there"
        missing = names - _module(other).exports
        assert not missing, f"{_name(file)} takes {sorted(missing)} from {_name(other)}, which has no such name"


def test_what_a_module_imports_it_uses(file: Path) -> None:
    text = _module(file).text
    for clause, path in _STATEMENT.findall(text):
        for name in _names("".join(re.findall(r"\{([^}]*)\}", clause)), -1):
            assert len(re.findall(rf"(?<![\w$]){re.escape(name)}\b", text)) > 1, f"{name} from {path} is not used"


def test_imports_are_written_so_that_they_are_read_here(file: Path) -> None:
    text = _module(file).text
    assert text.count("\nimport ") + text.startswith("import ") == len(re.findall(r"^import .*?;", text, re.S | re.M))
    assert not _DYNAMIC.search(text)
    assert not re.search(r"https?://(?!127\.0\.0\.1|www\.w3\.org|localhost|example)", text)


def test_every_file_is_reached_from_a_page() -> None:
    prefix = f"bridge/panel/static/{VERSION}/"
    entries = [FOLDER / str(page["bundle_url"]).removeprefix(prefix) for page in pages()]
    reached: set[Path] = set()
    waiting = list(entries)
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += [other for other, _ in _module(module).imports]
    assert {_name(each) for each in entries} == {"nav.js", "widget.js", "run.js"}
    assert [_name(each) for each in _FILES if each not in reached] == []


def test_every_page_of_the_host_gets_a_component_under_its_name_and_files_that_are_there() -> None:
    prefix = f"bridge/panel/static/{VERSION}/"
    for page in pages():
        entry = (FOLDER / str(page["bundle_url"]).removeprefix(prefix)).read_text()
        assert f'(globalThis)["{page["name"]}"] = ' in entry
        for icon in ("icon", "icon_dark_mode"):
            if icon in page:
                assert (FOLDER / str(page[icon]).removeprefix(prefix)).read_text().startswith("<svg ")
    names = [page["name"] for page in pages()]
    assert len(set(names)) == len(names)  # one would take the other's place


def test_the_reader_of_modules_sees_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "one.js").write_text('import a, { b, c as d } from "./two.js";\nimport {\n  e,\n} from "./two.js";\n')
    (tmp_path / "two.js").write_text(
        "export const b = 1;\nexport async function e() {}\nexport const { f, g: h } = b;\n// export const c = 1;\n"
    )
    one, two = _module(tmp_path / "one.js"), _module(tmp_path / "two.js")
    assert [names for _, names in one.imports] == [{"default", "b", "c"}, {"e"}]
    assert two.exports == {"b", "e", "f", "h"}
