"""A report's file at an address: read once while its bytes stay the same, and only whole."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.bridge import Bridge
from tests.exporting import HEADER, Exports, connection, refused_of
from totara_bridge.errors import ConfigurationInvalid, TotaraRefused, TotaraUnavailable
from totara_bridge.sandbox.totara.http import reports
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.sandbox.totara.http.site import Fault
from totara_bridge.sandbox.totara.report_builder import Schedule
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report_file import ReportFileSource, check

CONTENT = f"{HEADER}\n7,anna,E7,2,C001,Complete,10 Nov 2025\n".encode()


@pytest.fixture
def site(bridge: Bridge) -> Iterator[SandboxTotara]:
    """The captured Totara, whose web server gives the report's file."""
    with SandboxTotara(bridge.totara.engine) as running:
        yield running


@pytest.fixture
def exports(bridge: Bridge, tmp_path: Path, site: SandboxTotara) -> Exports:
    """Read from there."""
    exports = Exports(bridge, tmp_path)
    exports.connection = connection(site.url + reports.PATH)
    return exports


def test_read_once_while_it_stays_the_same(exports: Exports, site: SandboxTotara) -> None:
    assert exports.extract().read == 1600
    assert exports.loaded() == [site.url + reports.PATH]
    exports.bridge.later(hours=1)
    assert exports.extract().read == 0
    exports.bridge.totara.complete(*exports.bridge.totara.pair_with(status=25))
    again = exports.extract()
    assert (again.read, again.queued) == (1600, 1)
    with exports.source().snapshot() as snapshot:
        assert not snapshot.more


def test_the_api_token_is_the_bearer_token(exports: Exports, site: SandboxTotara) -> None:
    reports.switches(site.site).authorization = "Bearer s3cret"
    assert exports.extract(api_token="s3cret").read == 1600
    for token in ("", "wr0ng"):
        with pytest.raises(TotaraRefused, match=r'answered 401 .*"API token"') as refused:
            exports.extract(api_token=token)
        assert not token or token not in str(refused.value)


def test_another_file_is_there_or_none(exports: Exports, site: SandboxTotara) -> None:
    reports.switches(site.site).schedule = Schedule(columns=("user_id",))
    with pytest.raises(TotaraRefused, match="lacks what is needed"):
        exports.extract()
    exports.connection = connection(site.url + "/exports/other.csv")
    with pytest.raises(TotaraRefused, match="answered 404"):
        exports.extract()


def test_a_page_that_wants_a_login_is_no_half_written_file(exports: Exports, site: SandboxTotara) -> None:
    site.site.faults.put([Fault(status=200, body="<html><title>Log in</title></html>")])
    with pytest.raises(TotaraRefused, match="answered with a page instead of a file"):
        exports.extract()
    assert exports.extract().read == 1600


def test_half_written_there(exports: Exports, site: SandboxTotara) -> None:
    reports.switches(site.site).without_end = 10
    assert exports.extract().read == 0
    assert "waits, as its last line has no end" in check(exports.connection)
    reports.switches(site.site).without_end = 0
    assert exports.extract().read == 1600


def test_not_now(exports: Exports, site: SandboxTotara) -> None:
    for fault in (Fault(status=503), Fault(close=True), Fault(status=429)):
        site.site.faults.put([fault])
        with pytest.raises(TotaraUnavailable):
            exports.extract()
    assert exports.loaded() == []
    assert exports.extract().read == 1600


def test_the_check_says_what_is_there(exports: Exports, site: SandboxTotara) -> None:
    said = check(exports.connection)
    assert said == f"The report file {site.url}{reports.PATH} has 1600 rows, with days in UTC."


@pytest.mark.parametrize("head", [f"Content-Length: {len(CONTENT) + 1}", "Transfer-Encoding: chunked"])
def test_broken_off(head: str) -> None:
    def answer(asked: socket.socket) -> None:
        body = CONTENT if head.startswith("Content") else b"%x\r\n%b\r\n" % (len(CONTENT), CONTENT)
        asked.recv(1 << 16)
        asked.sendall(f"HTTP/1.1 200 OK\r\nConnection: close\r\n{head}\r\n\r\n".encode() + body)

    with listening(answer) as port:
        source = ReportFileSource(connection(f"http://127.0.0.1:{port}/file.csv"), lambda digest: False)
        with pytest.raises(TotaraUnavailable, match=r"127\.0\.0\.1:\d+/file\.csv broke off"), source.snapshot():
            pass


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("http://learn.example.com/file.csv", "without encryption"),
        ("https://ann:s3cret@learn.example.com/file.csv", "a user or a password"),
        ("https://[oops/file.csv", "is no address"),
    ],
)
def test_an_address_that_cannot_be(place: str, words: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=words) as refused:
        check(connection(place))
    assert "s3cret" not in str(refused.value)


def test_a_query_in_the_address_is_not_shown(site: SandboxTotara) -> None:
    given = connection(f"{site.url}{reports.PATH}?key=s3cret")
    _, (file,) = refused_of(ReportFileSource(given, lambda digest: False))
    assert file.name == site.url + reports.PATH
    assert "s3cret" not in check(given)


def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file.csv").write_bytes(CONTENT)
    certificate = _certificate(tmp_path)
    with served(tmp_path, certificate) as port:
        given = connection(f"https://127.0.0.1:{port}/file.csv")
        with pytest.raises(TotaraRefused, match="The TLS connection to"):
            check(given)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert "has 1 rows" in check(given)
        assert _rows(given) == 1


def _rows(given: TotaraConnection) -> int:
    refused, (file,) = refused_of(ReportFileSource(replace(given, api_token="s3cret"), lambda digest: False))
    assert refused == []
    return file.rows


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """One connection that is answered so; gives the port."""

    def run() -> None:
        asked, _ = server.accept()
        with asked:
            answer(asked)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=run)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path, certificate: Path) -> Iterator[int]:
    """The folder over TLS; gives the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    server = HTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, and its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.with_suffix(".key").write_bytes(encoded)
    return path
