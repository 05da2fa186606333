"""What a turmoil begins with: a PostgreSQL that may crash, an empty staging database and a small Totara."""

import itertools
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text

from tests.crashing import CrashingPostgres
from totara_bridge.sandbox.totara import schema as totara_schema
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.staging.migrate import migrate


class TurmoilServer(CrashingPostgres):
    """A PostgreSQL with what a turmoil begins with: an empty staging database and a small Totara."""

    def __init__(self, folder: Path) -> None:
        """Start it in the folder, whose path must be short enough for a socket."""
        super().__init__(folder)
        self._numbers = itertools.count(1)
        migrate(self.url("staging"))
        _make_totara(self.url("totara"))

    def fresh(self, template: str) -> str:
        """The address of a copy."""
        return self.copy(template, f"{template}_{next(self._numbers)}")


def _make_totara(url: str) -> None:
    """As captured, but with few courses: what is extracted often is to be extracted fast."""
    engine = create_engine(url, poolclass=NullPool)
    totara_schema.create(engine)
    seed(engine)
    totara = TotaraActs(engine)
    for course in totara.courses()[3:]:
        totara.delete_course(course)


#: Writes down what is committed in a staging database. Between a number that was taken and its commit then lies some
#: time, as on a busy disk.
LINGER = text(
    """
    CREATE TABLE public.written (id text, version bigint, at double precision);
    CREATE FUNCTION public.linger() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF current_setting('tests.lingered', true) IS DISTINCT FROM cast(pg_current_xact_id() AS text) THEN
            PERFORM set_config('tests.lingered', cast(pg_current_xact_id() AS text), true);
            PERFORM pg_sleep(CASE WHEN random() < 0.3 THEN 0.4 ELSE 0 END);
        END IF;
        INSERT INTO public.written VALUES (NEW.site || '-' || NEW.user_id || '-' || NEW.course_id, NEW.change_seq,
                                           extract(epoch FROM clock_timestamp()));
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER linger AFTER INSERT OR UPDATE ON bridge.completion
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.linger()
    """
)
