"""Two sites are extracted while pullers follow what changes, and all of them are killed again and again.

A seed always gives the same plan: what happens, in which order, to whom. The moments are the processes' own, so what
once failed may take some repeating.
"""

import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import NullPool, create_engine, text

from tests.forked import Forked
from tests.web.extracting import Extracting, extract
from tests.web.following import Following, follow
from tests.web.pull_server import PullServer
from tests.web.seen import Journal, State, Written, disorder, missed, skipped
from tests.web.totara_life import ACTS
from tests.web.turmoil_server import LINGER, TurmoilServer
from totara_bridge import api_token, erase
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.staging import setting
from totara_bridge.staging.engine import staging_engine

SITES = ("north", "south")

#: Of the longest wait between two things that happen, in seconds; a random share of it is waited.
_PAUSE = 0.12

#: Rounds, each of which ends with a look at what pullers have, and how much happens in the two Totaras in each.
ROUNDS, ACTS_OF_A_ROUND = 2, 25

#: What happens besides what happens in a Totara.
_KILL_EXTRACTOR, _KILL_PULLER, KILL_SERVER = "kill the extractor of", "kill the puller of", "kill the server"
CRASH, _ERASE = "crash PostgreSQL", "erase a learner"


class Happening(NamedTuple):
    """Something that happens, and to whom: a site, a puller or nobody in particular."""

    what: str
    to: str

    def __str__(self) -> str:
        return f"{self.what} {self.to}".rstrip()


def plan(seed: int) -> list[list[Happening]]:
    """What happens in each round."""
    dice = random.Random(f"{seed}")
    rounds = []
    for number in range(ROUNDS):
        happens = [Happening(dice.choice([*ACTS]), dice.choice(SITES)) for _ in range(ACTS_OF_A_ROUND)]
        happens += [Happening(_KILL_EXTRACTOR, dice.choice(SITES)) for _ in range(3)]
        happens += [Happening(_KILL_PULLER, name) for name in _PULLERS]
        happens += [Happening(_ERASE, ""), Happening(KILL_SERVER, "")]
        happens += [Happening(CRASH, "")] if number == 1 else []
        dice.shuffle(happens)
        rounds.append(happens)
    return rounds


_COMPLETIONS = """
    SELECT site || '-' || user_id || '-' || course_id, change_seq, deleted_at IS NOT NULL FROM bridge.completion
"""
_LEARNERS = """
    SELECT site || '-' || user_id, change_seq, deleted_at IS NOT NULL FROM bridge.learner
    UNION ALL SELECT site || '-' || user_id, change_seq, true FROM bridge.erased_learner
"""


class _Puller(NamedTuple):
    """Somebody who follows a feed from its beginning."""

    told: Mapping[str, Any]
    truth: str  #: SQL: the items, their versions, and whether they are gone


_PULLERS: Mapping[str, _Puller] = {
    "pages": _Puller({"since": "1970-01-01"}, _COMPLETIONS),
    "streams": _Puller({"since": "1970-01-01", "form": "ndjson"}, _COMPLETIONS),
    "users": _Puller({"feed": "/users"}, _LEARNERS),
}


class Turmoil:
    """The databases, the processes, and what is wrong."""

    def __init__(self, postgres: TurmoilServer, folder: Path, *, seed: int) -> None:
        """Two small Totaras of which nothing was extracted yet; nobody follows."""
        self._postgres, self._folder = postgres, folder
        self._seed = seed
        self._dice = random.Random(f"{seed}/moments")
        self.staging = postgres.fresh("staging")
        self.engine = staging_engine(self.staging)
        self._totaras = {
            site: TotaraActs(create_engine(postgres.fresh("totara"), poolclass=NullPool)) for site in SITES
        }
        with self.engine.begin() as transaction:
            transaction.execute(LINGER)
            now = datetime.now(UTC)
            setting.write(transaction, name="pull_per_minute", value=10_000_000, by="ann", now=now)
            self.token = api_token.issue(transaction, caller="follower", by="ann", now=now).token
        self.server = PullServer(self.staging, folder / "server.log")
        self.following = {
            name: Following(self.server.address, self.token, folder / f"{name}.journal", seed=number, **puller.told)
            for number, (name, puller) in enumerate(_PULLERS.items())
        }
        self._extracting = {
            site: Extracting(
                site,
                self.staging,
                totara.engine.url.render_as_string(hide_password=False),
                folder / f"{site}.log",
            )
            for site, totara in self._totaras.items()
        }
        self._happened = 0
        self._extractors: dict[str, Forked] = {}
        self._pullers: dict[str, Forked] = {}

    def close(self) -> None:
        """End all that runs."""
        for process in (*self._extractors.values(), *self._pullers.values()):
            process.close()
        self.server.stop()
        self.engine.dispose()

    def play(self, happens: Sequence[Happening], *, until: float = inf) -> list[str]:
        """Let it all happen, and then pullers come to the end; what is wrong.

        :param until: of `time.monotonic`: from then on nothing more happens.
        """
        for site in SITES:
            self._start_extractor(site)
        for name in _PULLERS:
            self._start_puller(name)
        for happening in happens:
            if time.monotonic() > until:
                break
            time.sleep(self._dice.uniform(0, _PAUSE))
            self.happen(happening)
        wrong = [*self._settle()]
        self.catch_up()
        return [*wrong, *self.wrong()]

    def wrong(self) -> Iterator[str]:
        """What is wrong with what pullers have seen, who should have seen all."""
        with self.engine.connect() as connection:
            written = [Written(*row) for row in connection.execute(text("SELECT * FROM public.written"))]
        for name, puller in _PULLERS.items():
            steps = self.journal(name).steps()
            faults = [*disorder(steps), *missed(steps, self.truth(name))]
            if puller.truth == _COMPLETIONS:
                faults += skipped(steps, written, "completions")
            yield from (f"{name}: {fault}" for fault in faults)

    def journal(self, name: str) -> Journal:
        """What a puller has seen."""
        return Journal(self.following[name].journal)

    def truth(self, name: str) -> dict[str, State]:
        """What is so."""
        with self.engine.connect() as connection:
            return {row[0]: State(row[1], row[2]) for row in connection.execute(text(_PULLERS[name].truth))}

    def _start_extractor(self, site: str) -> None:
        orders = replace(self._extracting[site], seed=self._dice.getrandbits(32))
        self._extractors[site] = Forked(extract, orders)

    def _start_puller(self, name: str) -> None:
        self._pullers[name] = Forked(follow, replace(self.following[name], seed=self._dice.getrandbits(32)))

    def happen(self, happening: Happening) -> None:
        """Let it happen."""
        what, to = happening
        self._happened += 1
        dice = random.Random(f"{self._seed}/{self._happened}")
        if what in ACTS:
            with suppress(LookupError):  # nobody is left to whom it could happen
                ACTS[what](self._totaras[to], dice)
        elif what == _KILL_EXTRACTOR:
            assert self._extractors[to].kill(), f"the extractor had ended before: see {self._folder}/{to}.log"
            self._extractors[to].close()
            self._start_extractor(to)
        elif what == _KILL_PULLER:
            assert self._pullers[to].kill(), "the puller had ended before: its error stands above"
            self._pullers[to].close()
            self._start_puller(to)
        else:
            _EVENTS[what](self, dice)

    def _kill_server(self, _: random.Random) -> None:
        self.server.kill()
        self.server.start()

    def _crash(self, _: random.Random) -> None:
        self._postgres.crash()
        self._postgres.start()

    def _erase(self, dice: random.Random) -> None:
        with self.engine.connect() as connection:
            known = connection.execute(text("SELECT site, user_id FROM bridge.learner ORDER BY site, user_id")).all()
        if known:
            site, user = dice.choice(known)
            erase.erase(self.engine, site=site, user_id=user, by="ann", dry_run=False, now=datetime.now(UTC))

    def _settle(self) -> Iterator[str]:
        """All that was started ends; what each site says is extracted."""
        for site, extractor in self._extractors.items():
            extractor.terminate()
            if (ended := extractor.wait()) not in (0, -signal.SIGTERM):  # the latter where it had hardly begun
                yield f"the extractor of {site} ended with {ended}: see {self._folder}/{site}.log"
        for name, puller in self._pullers.items():
            if not puller.kill():
                yield f"the puller of {name} ended by itself: its error stands above"
        last = {site: Forked(extract, replace(self._extracting[site], once=True)) for site in SITES}
        for site, extractor in last.items():
            if (ended := extractor.wait()) != 0:
                yield f"the last extractor of {site} ended with {ended}: see {self._folder}/{site}.log"
        for process in (*last.values(), *self._extractors.values(), *self._pullers.values()):
            process.close()
        self._extractors, self._pullers = {}, {}

    def catch_up(self) -> None:
        """Pullers go on from their files to the end."""
        self.server.wait()
        for orders in self.following.values():
            follow(replace(orders, to_the_end=True))


_EVENTS: Mapping[str, Callable[[Turmoil, random.Random], None]] = {
    KILL_SERVER: Turmoil._kill_server,
    CRASH: Turmoil._crash,
    _ERASE: Turmoil._erase,
}
