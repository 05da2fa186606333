"""What looks for secrets finds one however it is written."""

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.production.secrets_found import Found, found

SECRET = 'p@ss w/"ö:rd%+~'

WRITTEN = {
    "plain": SECRET,
    "url": quote(SECRET, safe=""),
    "path": quote(SECRET),
    "form": quote_plus(SECRET),
    "json": json.dumps(SECRET),
    "json_utf8": json.dumps(SECRET, ensure_ascii=False),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64_url": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "basic_0": base64.b64encode(f"bridge:{SECRET}".encode()).decode(),
    "basic_1": base64.b64encode(f"client:{SECRET}!".encode()).decode(),
    "basic_2": base64.b64encode(f"oracles:{SECRET}--".encode()).decode(),
    "basic_3": base64.b64encode(f"a:{SECRET}---".encode()).decode(),
}


@pytest.mark.parametrize("way", WRITTEN)
def test_it_is_found(way: str, tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text(f"a line\nbefore{WRITTEN[way]}after\nanother")
    assert found({"password": SECRET, "other": "not there"}, [tmp_path]) == {Found("password", file)}


def test_it_is_found_in_a_binary_file_and_in_the_name_of_one(tmp_path: Path) -> None:
    binary, named = tmp_path / "data", tmp_path / f"run_id={quote(SECRET, safe='')}"
    binary.write_bytes(b"\0\xff\n" + SECRET.encode() + b"\0")
    named.mkdir()
    assert found({"password": SECRET}, [tmp_path]) == {Found("password", binary), Found("password", named)}


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("p@ss w/")
    (tmp_path / ".env").write_text(SECRET)
    assert found({"password": SECRET}, [tmp_path], but=[".env"]) == set()
