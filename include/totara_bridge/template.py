"""A payload template says what stands where in an item's JSON, and is refused whole where it cannot be rendered.

bridge.toml has one table per template; `DEFAULT` is the published contract's and is built in.
"""

from functools import cached_property
from itertools import combinations
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, field_validator
from pydantic import Field as Bounds

from totara_bridge.completion import storable
from totara_bridge.template_field import COURSE, USER, Branch, Field, Leaf, grow, json_text

__all__ = ["DEFAULT", "Field", "Template"]

TemplateName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,30}$")]


class Template(BaseModel):
    """What the items for a destination look like.

    Its version is raised whenever its fields change, so that an item's label says for ever how it was made.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: TemplateName
    version: Annotated[int, Bounds(gt=0, lt=2**31)]
    items: Annotated[str, StringConstraints(min_length=1), AfterValidator(storable)] = "items"
    """The name of the list in the body."""

    fields: dict[str, Field]  #: by path in the item's JSON, dots nest; written in this order

    @field_validator("fields")
    @classmethod
    def _fit_together(cls, fields: dict[str, Field]) -> dict[str, Field]:
        for path in map(storable, fields):
            if not all(path.split(".")):
                raise ValueError(f'the path "{path}" has an empty part: name each part')
        for one, other in combinations(sorted(fields, key=len), 2):
            if other.startswith(f"{one}."):
                raise ValueError(f"{one} is a value, so {other} cannot stand in it: rename one of the two")
        if not any(field.source == "item_key" for field in fields.values()):
            raise ValueError(
                "no field shows item_key, by which the destination knows an item again and its results are matched: "
                'add one, such as "idempotencyKey" = "item_key"'
            )
        return fields

    @property
    def label(self) -> str:
        """What an item remembers of the template that it was made with."""
        return f"{self.name}/{self.version}"

    @property
    def personal_paths(self) -> tuple[str, ...]:
        """The paths that show who the learner is."""
        return tuple(path for path, field in self.fields.items() if (field.source or "").startswith("user."))

    @property
    def definition(self) -> str:
        """All but its name and version, as JSON; what says nothing beyond a default is left out.

        Two templates make the same of every item where this text is the same: 1 is not 1.0, and the order counts.
        """
        return json_text(self.model_dump(mode="json", exclude={"name", "version"}, exclude_defaults=True))

    @cached_property
    def members(self) -> tuple[Leaf | Branch, ...]:
        """Its fields as they stand in each other, made ready once for any number of items."""
        tree: dict[str, Any] = {}
        for path, field in self.fields.items():
            *parents, name = path.split(".")
            place = tree
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = field
        return grow(tree)


#: The published contract: docs/oracle-endpoint.md.
DEFAULT = Template(
    name="default",
    version=2,
    fields={
        "idempotencyKey": Field(source="item_key"),
        "recordKey": Field(source="record_key"),
        "kind": Field(source="kind"),
        "revision": Field(source="revision"),
        "site": Field(source="site"),
        "userId": Field(source="user_id"),
        "courseId": Field(source="course_id"),
        "status": Field(source="status"),
        "progress": Field(source="progress"),
        "timecompleted": Field(source="time_completed", required=True),
        **{f"user.{name.replace('_', '')}": Field(source=f"user.{name}") for name in USER},
        **{f"course.{name.replace('_', '')}": Field(source=f"course.{name}") for name in COURSE},
    },
)
