"""A route in bridge.toml: what it may say, and the sentence for what it may not."""

from pathlib import Path

import pytest

from totara_bridge.config import read_config
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.route import EVERYTHING, Route
from totara_bridge.staging import route
from totara_bridge.staging.route import CRITERIA

HEAD = '[[sites]]\ncode = "sbx"\nconnection = "totara"\n[[destinations]]\ncode = "oracle"\nconnection = "oracle"\n'


@pytest.fixture(autouse=True)
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A configuration file of the test's own."""
    file = tmp_path / "bridge.toml"
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
    return file


def test_without_a_route_everything_is_sent(config: Path) -> None:
    config.write_text(HEAD)
    assert read_config().destinations[0].route == EVERYTHING
    assert (route.condition(EVERYTHING), route.values(EVERYTHING)) == ("", {})


def test_a_route_is_a_table_of_its_destination(config: Path) -> None:
    config.write_text(
        HEAD + '[destinations.route]\nsites = ["sbx"]\ncategories = [5]\ncourses = ["SAFETY-*"]\nnot_courses = ["X?"]\n'
        'audiences = [" staff "]\nlearners = ["*@example.com"]\nnot_learners = ["test*"]\nstatuses = ["complete_rpl"]\n'
    )
    [destination] = read_config().destinations
    assert destination.route == Route(
        sites=("sbx",),
        categories=(5,),
        courses=("SAFETY-*",),
        not_courses=("X?",),
        audiences=("staff",),
        learners=("*@example.com",),
        not_learners=("test*",),
        statuses=("complete_rpl",),
    )


def test_the_documentations_example_can_be_used_and_shows_every_criterion(config: Path) -> None:
    documented = (Path(__file__).parents[2] / "docs" / "routes.md").read_text()
    config.write_text(HEAD.partition("[[destinations]]")[0] + documented.partition("```toml\n")[2].partition("```")[0])
    [destination] = read_config().destinations
    assert destination.route.model_fields_set == set(Route.model_fields)
    assert all(f"`{name}`" in documented for name in Route.model_fields)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('course = ["A"]', "destinations.0.route.course: Extra inputs are not permitted"),
        ('sites = ["SBX"]', "destinations.0.route.sites.0: String should match pattern"),
        ('sites = "sbx"', "destinations.0.route.sites: Input should be a valid tuple"),
        ('categories = ["5"]', "destinations.0.route.categories.0: Input should be a valid integer"),
        ("categories = [0]", "destinations.0.route.categories.0: Input should be greater than or equal to 1"),
        ("categories = [true]", "destinations.0.route.categories.0: Input should be a valid integer"),
        ('courses = [" "]', "destinations.0.route.courses.0: String should have at least 1 character"),
        ("learners = [12]", "destinations.0.route.learners.0: Input should be a valid string"),
        ("categories = [9223372036854775808]", "destinations.0.route.categories.0: Input should be less than 92233720"),
        *(
            (f'{name} = ["a\\u0000"]', f"destinations.0.route.{name}.0: it holds a character that cannot be stored")
            for name in ("courses", "not_courses", "audiences", "learners", "not_learners")
        ),
        ('statuses = ["done"]', "destinations.0.route.statuses.0: Input should be 'complete' or 'complete_rpl'"),
        *((f"{name} = []", f"destinations.0.route.{name}: Tuple should have at least 1 item") for name in
          Route.model_fields),
    ],
)  # fmt: skip
def test_what_a_route_cannot_say_is_refused_in_one_sentence(config: Path, line: str, said: str) -> None:
    config.write_text(f"{HEAD}[destinations.route]\n{line}\n")
    with pytest.raises(ConfigurationInvalid) as refused:
        read_config()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_each_criterion_of_a_route_is_defined_once() -> None:
    assert [each.name for each in CRITERIA] == list(Route.model_fields)


def test_only_what_a_route_sets_adds_sql() -> None:
    asked = Route(courses=("A*", "50%_\\?"), statuses=("complete",))
    assert route.values(asked) == {"route_courses": ["A%", "50\\%\\_\\\\_"], "route_statuses": ["complete"]}
    assert "route_courses" in route.condition(asked)
    assert "audience_member" not in route.condition(asked)
