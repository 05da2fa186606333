"""The run book is whole: every DAG, alert, switch and command is in it, and nothing that there is not."""

import json
import re
from pathlib import Path

import pytest

from totara_bridge.alert_name import AlertName
from totara_bridge.command.__main__ import main
from totara_bridge.settings import Settings

REPOSITORY = Path(__file__).parents[2]
RUN_BOOK = (REPOSITORY / "docs" / "operations.md").read_text()
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
DAGS = {file.stem for file in (REPOSITORY / "dags").glob("*.py")}
ALERTS = {each.value for each in AlertName}

#: Every heading that is a name, with what stands below it.
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^#|\Z)", RUN_BOOK, re.MULTILINE | re.DOTALL))
SWITCHES = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", RUN_BOOK[RUN_BOOK.index("## Switches") :], re.MULTILINE))
COMMAND = re.compile(r"(?:python -m totara_bridge\.command|make ask WHAT=\")\s*([a-z-]+)([^`\n]*)")


def test_every_dag_and_every_alert_has_its_heading_and_no_other_has() -> None:
    assert set(SECTIONS) == DAGS | ALERTS
    assert len(re.findall(r"^#+ `", RUN_BOOK, re.MULTILINE)) == len(SECTIONS)  # none twice, none of another level


@pytest.mark.parametrize("name", sorted(DAGS | ALERTS))
def test_each_says_what_it_means_what_to_look_at_and_what_to_press(name: str) -> None:
    told = re.findall(r"^\*\*(What [a-z ]+)\.\*\*", SECTIONS[name], re.MULTILINE)
    assert told == ["What it means", "What to look at", "What to press"]


def test_the_tables_at_the_top_lead_to_every_heading() -> None:
    top = RUN_BOOK[: RUN_BOOK.index("### ")]
    assert set(re.findall(r"^\| \[`(\w+)`\]\(#\1\) \|", top, re.MULTILINE)) == DAGS | ALERTS


def test_every_switch_stands_in_the_table_with_its_default() -> None:
    assert list(SWITCHES) == list(Settings.model_fields)
    assert Settings.model_validate({name: json.loads(default) for name, default in SWITCHES.items()}) == Settings()


def commands() -> list[tuple[str, str, str]]:
    """Each command of a page: where, its name, and the rest of its line."""
    return [(page.name, *each) for page in PAGES for each in COMMAND.findall(page.read_text())]


def test_the_pages_name_commands() -> None:
    assert {"why", "trace", "errors", "alerts", "setting", "item", "bodies", "token"} <= {
        name for _, name, _ in commands()
    }


@pytest.mark.parametrize(("page", "name", "rest"), commands())
def test_every_command_of_a_page_exists_with_its_options(
    page: str, name: str, rest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = re.findall(r"^ ([a-z_]+)", rest)  # what some commands take first has options of its own
    with pytest.raises(SystemExit) as ended:
        main([name, *verb, "--help"])
    assert ended.value.code == 0, page
    assert set(re.findall(r"--[a-z-]+", rest)) <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out)), page


def targets() -> set[str]:
    """What `make` can make."""
    return set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_target_of_make_exists(page: Path) -> None:
    assert set(re.findall(r"`make ([a-z]+)", page.read_text())) <= targets()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def anchors(file: Path) -> set[str]:
    """The headings of a page, as they are linked to."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
