"""Staging and a Totara's database are read over TLS that is verified, where their addresses ask for that."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import OperationalError

from tests.debian_postgres import PROGRAMS, DebianPostgres, debian_postgres
from tests.free_port import free_port
from tests.security.authority import Authority
from tests.short_lived import new_folder
from totara_bridge.errors import TotaraRefused
from totara_bridge.staging.engine import staging_engine
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.sources import check

_PASSWORD = "p@ss/w:rd?"

#: What an address ends with that is to be believed, but for the authority.
_VERIFIED = {"sslmode": "verify-full"}


@pytest.fixture(scope="module")
def server(authority: Authority, good: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianPostgres]:
    """Debian's PostgreSQL with a certificate of the authority."""
    if not PROGRAMS.is_dir():
        pytest.skip("postgresql-15 is not installed")
    with debian_postgres(_PASSWORD) as running:
        shown = _readable(good, running.folder, "postgres")
        running.stop()
        running.start(ssl="on", ssl_cert_file=str(shown), ssl_key_file=str(shown))
        yield running


def _readable(certificate: Path, folder: Path, account: str) -> Path:
    """A copy that the server's account alone may read, as PostgreSQL wants it."""
    copy = Path(shutil.copy(certificate, folder / "server.pem"))
    copy.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(copy, account)
    return copy


def _secured(url: URL, authority: Path, **options: str) -> str:
    return url.update_query_dict(_VERIFIED | {"sslrootcert": str(authority)} | options).render_as_string(False)


def test_staging_is_used_over_verified_tls(server: DebianPostgres, authority: Authority) -> None:
    engine = staging_engine(_secured(server.url(), authority.file))
    with engine.connect() as connection:
        version = connection.execute(text("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")).scalar_one()
    engine.dispose()
    assert version in ("TLSv1.2", "TLSv1.3")


def test_a_staging_server_that_is_not_to_be_believed_gets_no_password(
    server: DebianPostgres, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    urls = [
        _secured(server.url(), stranger.file),
        _secured(server.url(), authority.file, ssl_max_protocol_version="TLSv1.1", ssl_min_protocol_version="TLSv1"),
        _secured(server.url().set(host="other.example.com"), authority.file, hostaddr="127.0.0.1"),
    ]
    for url in urls:
        engine = staging_engine(url)
        with pytest.raises(OperationalError, match=r"certificate|SSL") as refused:
            engine.connect()
        engine.dispose()
        assert "w:rd" not in str(refused.value)


def _totara(url: URL, **options: str) -> TotaraConnection:
    address = URL.create(url.get_backend_name(), url.username, None, url.host, url.port, url.database, options)
    extra = {"database_url": address.render_as_string(False), "database_password": _PASSWORD, "timeout_ms": 20_000}
    return TotaraConnection.from_fields("The connection totara", extra=extra)


def test_a_totara_on_postgresql_is_read_over_verified_tls(
    server: DebianPostgres, authority: Authority, tmp_path: Path
) -> None:
    verified = _VERIFIED | {"sslrootcert": str(authority.file)}
    with pytest.raises(TotaraRefused, match="There is no Totara in"):  # it got as far as that
        check(_totara(server.url(), **verified))
    stranger = Authority(tmp_path)
    with pytest.raises(TotaraRefused, match="TLS connection"):
        check(_totara(server.url(), **verified | {"sslrootcert": str(stranger.file)}))
    with pytest.raises(TotaraRefused, match="TLS connection"):
        check(_totara(server.url().set(host="other.example.com"), **verified | {"hostaddr": "127.0.0.1"}))


@pytest.fixture(scope="module")
def mariadb(good: Path) -> Iterator[URL]:
    """MariaDB with a certificate of the authority."""
    path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
    program, install = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    if program is None or install is None:
        pytest.skip("mariadbd is not installed")
    folder = new_folder("tbm")
    account = ["--user=mysql"] if os.geteuid() == 0 else []
    if account:
        shutil.chown(folder, "mysql")
    shown = _readable(good, folder, "mysql")
    data = f"--datadir={folder}/data"
    made = [install, "--no-defaults", *account, data, "--skip-test-db", "--auth-root-authentication-method=normal"]
    subprocess.run(made, check=True, capture_output=True)
    port = free_port()
    options = [
        data, f"--socket={folder}/socket", f"--port={port}", "--bind-address=127.0.0.1,127.0.0.2",
        "--skip-name-resolve", "--innodb-buffer-pool-size=32M", f"--ssl-cert={shown}", f"--ssl-key={shown}",
    ]  # fmt: skip
    running = subprocess.Popen([program, "--no-defaults", *account, *options], stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    assert any("ready for connections" in line for line in running.stderr), "mariadbd ended before it was ready"
    drain = threading.Thread(target=running.stderr.read)
    drain.start()
    with pymysql.connect(unix_socket=f"{folder}/socket", user="root") as local, local.cursor() as cursor:
        cursor.execute("CREATE USER admin IDENTIFIED BY %s REQUIRE SSL", [_PASSWORD])
        cursor.execute("GRANT ALL ON *.* TO admin")
    yield URL.create("mysql+pymysql", "admin", None, "127.0.0.1", port, "mysql")
    running.terminate()
    running.wait()
    drain.join()
    running.stderr.close()
    shutil.rmtree(folder)


def test_a_totara_on_mariadb_is_read_over_verified_tls(mariadb: URL, authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(TotaraRefused, match="There is no Totara in"):  # it got as far as that
        check(_totara(mariadb, ssl_ca=str(authority.file)))
    stranger = Authority(tmp_path)
    with pytest.raises(TotaraRefused, match="TLS connection"):
        check(_totara(mariadb, ssl_ca=str(stranger.file)))
    with pytest.raises(TotaraRefused, match="TLS connection"):
        check(_totara(mariadb.set(host="127.0.0.2"), ssl_ca=str(authority.file)))
