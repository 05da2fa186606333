"""One report file at an address, brought here whole before anything of it is read."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from urllib.parse import urlsplit

from totara_bridge.errors import ConfigurationInvalid, TotaraUnavailable
from totara_bridge.network import is_loopback
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.http import TotaraHttp
from totara_bridge.totara.http_failure import Place


def is_address(place: str) -> bool:
    """Whether a place is not a folder."""
    return place.lower().startswith(("https://", "http://"))


@contextmanager
def downloaded(connection: TotaraConnection) -> Iterator[tuple[str, BinaryIO]]:
    """Its name, and the file itself, which goes when the block ends.

    The connection's API token, where it has one, goes along as a bearer token.

    :raises ConfigurationInvalid: the address has a password in it, or would show the file to everybody on the way.
    :raises TotaraUnavailable: no answer, or none now, or there is no room for it here.
    :raises TotaraRefused: there is no file, or it may not be read.
    """
    address = connection.report.place
    name = _checked(address)
    headers = {"Authorization": f"Bearer {connection.api_token}"} if connection.api_token else {}
    with tempfile.TemporaryFile() as file:
        with TotaraHttp(connection) as http, http.stream(address, headers=headers) as pieces:
            for piece in pieces:
                _write(file, piece, name)
        file.flush()
        yield name, file


def _write(file: BinaryIO, piece: bytes, name: str) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise TotaraUnavailable(
            f"The report file {name} cannot be kept in {tempfile.gettempdir()} while it is read ({error.strerror}): "
            "make room there, or name another folder in TMPDIR of the machine that runs the task."
        ) from error


def _checked(address: str) -> str:
    """How the file is called: its address, without what may be secret in it."""
    place = Place(address, "the place in Report")
    try:
        parts = urlsplit(address)
        has_credentials = bool(parts.username or parts.password)
    except ValueError:
        raise ConfigurationInvalid(
            "The place in the connection's Report is no address: write it as https://host/file.csv."
        ) from None
    if has_credentials:
        raise ConfigurationInvalid(
            f"The place {place} in the connection's Report has a user or a password in it, which Airflow shows to "
            'whoever may look at Connections: take them out, and have the file given for a bearer token in "API token".'
        )
    if parts.scheme.lower() != "https" and not is_loopback(place.host):
        raise ConfigurationInvalid(
            f"The place {place} in the connection's Report would be read without encryption: write it with https://."
        )
    return str(place)
