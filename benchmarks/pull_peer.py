"""The same feed as the manuals of FastAPI and SQLAlchemy would have it: ORM rows, loaded eagerly, pydantic models.

It looks at no token, no switch and no limit and has no filter, which is in its favour. Next to it, ``/fixed`` answers
with as many bytes as it is asked for, always the same ones: what the server can do at all.
"""

import os
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, computed_field
from sqlalchemy import and_, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, foreign, joinedload, relationship, remote
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.pull_rows import CALLER
from totara_bridge.staging.schema import AcknowledgementRow, CompletionRow, CourseRow, InstanceRow, LearnerRow

_PAIR = ("site", "user_id", "course_id")


class _Base(DeclarativeBase):
    pass


class _Learner(_Base):
    __table__ = LearnerRow.__table__


class _Course(_Base):
    __table__ = CourseRow.__table__


class _Instance(_Base):
    __table__ = InstanceRow.__table__


class _Acknowledgement(_Base):
    __table__ = AcknowledgementRow.__table__


def _same(other: type[_Base], *columns: str) -> Any:
    ours, theirs = CompletionRow.__table__.c, other.__table__.c
    return and_(*(ours[each] == remote(foreign(theirs[each])) for each in columns))


class _Completion(_Base):
    __table__ = CompletionRow.__table__

    user: Mapped[_Learner | None] = relationship(primaryjoin=_same(_Learner, "site", "user_id"), viewonly=True)
    course: Mapped[_Course | None] = relationship(primaryjoin=_same(_Course, "site", "course_id"), viewonly=True)
    instances: Mapped[list[_Instance]] = relationship(
        primaryjoin=_same(_Instance, *_PAIR), order_by=_Instance.__table__.c.id, viewonly=True
    )
    acknowledgement: Mapped[_Acknowledgement | None] = relationship(
        primaryjoin=and_(_same(_Acknowledgement, *_PAIR), _Acknowledgement.__table__.c.caller == CALLER), viewonly=True
    )


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True)


Gone = Annotated[datetime | None, PlainSerializer(lambda at: at is not None, return_type=bool)]
Number = Annotated[Decimal | None, PlainSerializer(lambda of: None if of is None else float(of))]


class User(_Model):
    username: str
    id_number: str = Field(serialization_alias="idnumber")
    email: str
    first_name: str = Field(serialization_alias="firstname")
    last_name: str = Field(serialization_alias="lastname")
    suspended: bool
    deleted_at: Gone = Field(serialization_alias="deleted")


class Course(_Model):
    short_name: str = Field(serialization_alias="shortname")
    id_number: str = Field(serialization_alias="idnumber")
    full_name: str = Field(serialization_alias="fullname")
    category_id: int = Field(serialization_alias="categoryId")


class Instance(_Model):
    record_key: str = Field(serialization_alias="recordKey")
    revision: int
    status: str
    time_completed: datetime | None = Field(serialization_alias="timecompleted")
    archived_at: Gone = Field(serialization_alias="archived")
    ended_at: Gone = Field(serialization_alias="ended")


class Acknowledgement(_Model):
    status: str
    reference: str | None
    message: str | None
    change_seq: int = Field(serialization_alias="version")
    acknowledged_at: datetime = Field(serialization_alias="acknowledgedAt")


class Completion(_Model):
    @computed_field
    def id(self) -> str:
        return f"{self.site}-{self.user_id}-{self.course_id}"

    change_seq: int = Field(serialization_alias="version")
    site: str
    user_id: int = Field(serialization_alias="userId")
    course_id: int = Field(serialization_alias="courseId")
    status: str
    progress: int | None
    grade: Number
    rpl: str | None
    time_enrolled: datetime | None = Field(serialization_alias="timeenrolled")
    time_started: datetime | None = Field(serialization_alias="timestarted")
    time_completed: datetime | None = Field(serialization_alias="timecompleted")
    changed_at: datetime = Field(serialization_alias="changedAt")
    deleted_at: Gone = Field(serialization_alias="deleted")
    user: User | None
    course: Course | None
    instances: list[Instance]
    acknowledgement: Acknowledgement | None


class Page(BaseModel):
    items: list[Completion]
    cursor: str
    more: bool


def app() -> FastAPI:
    """For uvicorn; its database is that of the bridge, with as many connections."""
    engine = create_engine(os.environ["TOTARA_BRIDGE_DATABASE_URL"], pool_size=8, max_overflow=0)

    def session() -> Iterator[Session]:
        with Session(engine) as opened:
            yield opened

    def completions(
        database: Annotated[Session, Depends(session)], cursor: int = 0, limit: Annotated[int, Query(ge=1)] = 500
    ) -> Page:
        statement = (
            select(_Completion)
            .where(_Completion.__table__.c.change_seq > cursor)
            .order_by(_Completion.__table__.c.change_seq)
            .limit(limit + 1)
            .options(
                joinedload(_Completion.user),
                joinedload(_Completion.course),
                joinedload(_Completion.acknowledgement),
                joinedload(_Completion.instances),
            )
        )
        found = database.scalars(statement).unique().all()
        page = [Completion.model_validate(each) for each in found[:limit]]
        return Page(items=page, cursor=str(page[-1].change_seq if page else cursor), more=len(found) > limit)

    return FastAPI(
        routes=[
            APIRoute("/completions", completions),
            Route("/fixed", _fixed),
        ]
    )


async def _fixed(request: Any) -> Response:
    return Response(b"x" * int(request.query_params["bytes"]), media_type="application/json")
