"""Crawling a Totara through its web services next to a bare loop of the same calls.

Totara answers some 30 calls a second, whoever asks (docs/sources.md); what is measured is what the client adds to that.
The site is the sandbox, which answers each call after the same time; both sides hear the same of each learner.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import requests

from benchmarks import report
from benchmarks.bridge import SITE
from benchmarks.report import Line
from benchmarks.server import Server
from tests.free_port import free_port
from totara_bridge.extract.crawl_book import StagedCrawlBook
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.http.tokens import REST_TOKEN
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.staging.engine import staging_engine
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.source import SourceKind
from totara_bridge.totara.web_services import WebServicesSource
from totara_bridge.totara.web_services.permissions import COURSES, ENROLLED, SITE_COURSE, STATUS, enrolled_options

_LATENCY = 0.05  #: seconds; a 17.3 on two cores takes as long
_AT_ONCE = 4
_PAGE = 500
_ROUNDS = 3
_PATIENCE = 30.0  #: seconds until the sandbox answers

_Heard = dict[tuple[int, int], bool]  #: whether complete, by user and course


def crawl(server: Server) -> Iterator[Line]:
    """A whole crawl, the book included, in both ways by turns."""
    with _totara(server) as address:
        ours, theirs = [], []
        for _ in range(_ROUNDS):
            seconds, heard = _bridge(server, address)
            ours.append(seconds)
            seconds, also_heard = _bare(address)
            theirs.append(seconds)
            if heard != also_heard or not heard:
                raise SystemExit(f"The crawl heard of {len(heard)} learners in courses, the loop of {len(also_heard)}.")
    what = f"web services, {len(heard)} enrolments, {_LATENCY * 1000:.0f} ms"
    yield report.speed(what, ours, theirs, peer="bare loop", at_least=0.95)


def _bridge(server: Server, address: str) -> tuple[float, _Heard]:
    """A first crawl: nothing is in the book."""
    staging = server.copy(server.staging(), "crawled")
    engine = staging_engine(server.url(staging).render_as_string())
    connection = TotaraConnection(
        source=SourceKind.WEB_SERVICES, server_url=address, api_token=REST_TOKEN, requests_in_flight=_AT_ONCE
    )
    begun = time.perf_counter()
    try:
        with WebServicesSource(connection, StagedCrawlBook(engine, SITE)).snapshot() as snapshot:
            learners = sum(1 for _ in snapshot.learners(None))
            lines = [line.split(b"\t") for line in snapshot.completions(None)]
    finally:
        engine.dispose()
    seconds = time.perf_counter() - begun
    if not learners:
        raise SystemExit("The crawl found no learners.")
    return seconds, {(int(line[1]), int(line[2])): line[3] == b"complete" for line in lines}


def _bare(address: str) -> tuple[float, _Heard]:
    """As little as can be: threads with a session each, a form, JSON."""
    threads = threading.local()
    sessions: list[requests.Session] = []

    def begin() -> None:
        threads.session = requests.Session()
        sessions.append(threads.session)

    def call(function: str, **parameters: Any) -> Any:
        form = {"wstoken": REST_TOKEN, "wsfunction": function, "moodlewsrestformat": "json", **parameters}
        return threads.session.post(f"{address}/webservice/rest/server.php", data=form, timeout=30).json()

    def enrolled(course: int) -> list[tuple[int, int]]:
        options = enrolled_options(only_active=True, first=0, number=_PAGE)
        form = {f"options[{place}][{name}]": each[name] for place, each in enumerate(options) for name in each}
        return [(each["id"], course) for each in call(ENROLLED, courseid=course, **form)]

    def status(pair: tuple[int, int]) -> tuple[tuple[int, int], bool]:
        answer = call(STATUS, userid=pair[0], courseid=pair[1])
        return pair, answer["completionstatus"]["completed"]

    begun = time.perf_counter()
    with ThreadPoolExecutor(_AT_ONCE, initializer=begin) as pool:
        courses = [each["id"] for each in pool.submit(call, COURSES).result() if each["id"] != SITE_COURSE]
        pairs = [pair for of_course in pool.map(enrolled, courses) for pair in of_course]
        heard = dict(pool.map(status, pairs))
    seconds = time.perf_counter() - begun
    for session in sessions:
        session.close()
    return seconds, heard


@contextmanager
def _totara(server: Server) -> Iterator[str]:
    """The address of a sandbox Totara in a process of its own."""
    name, port = "totara_seed", free_port()
    if not server.has(name):
        engine = server.engine(server.copy(server.empty(), name))
        schema.create(engine)
        seed(engine)
        server.settle(name)
    command = [sys.executable, "-m", "totara_bridge.sandbox.totara.http", "--port", str(port)]
    with subprocess.Popen([*command, "--database-url", server.tcp(name)]) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            _switch(address)
            yield address
        finally:
            process.terminate()


def _switch(address: str) -> None:
    """Set the latency, once it answers."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            requests.post(f"{address}/sandbox/switches", json={"latency": _LATENCY}, timeout=5).raise_for_status()
        except requests.ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
