"""Nothing in what is run switches the verification of certificates off, or lets secrets go without encryption."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Ways to do so, of all libraries that are used here.
_OFF = re.compile(
    r"verify\s*=\s*False|verify_ssl\s*=\s*False|[\"']verify[\"']\s*:\s*False|CERT_NONE|check_hostname\s*=\s*False"
    r"|_create_unverified_context|_create_stdlib_context|disable_warnings|InsecureRequestWarning"
    r"|OAUTHLIB_INSECURE_TRANSPORT|PYTHONHTTPSVERIFY|TLSv1_1|TLSv1\b|PROTOCOL_TLSv1|ssl_verify_cert\s*=\s*False"
    r"|sslmode=(?:disable|allow|prefer)|trust_env\s*=\s*False"
)

#: Addresses without encryption, but for this machine, and for names that are no addresses.
_PLAIN = re.compile(
    r"http://(?!127\.0\.0\.1|localhost|\[::1\]|adaptivecards\.io/schemas/|www\.w3\.org/|\{|[\"'`)\s,]|…|$)"
)

#: Run in production; the sandbox and the local run are loopback's own.
_RUN = [
    file
    for folder in ("include/totara_bridge", "dags", "plugins")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if not {"sandbox", "local", "__pycache__"} & set(file.parts)
]


@pytest.mark.parametrize("pattern", [_OFF, _PLAIN], ids=["verification", "encryption"])
def test_nothing_switches_it_off(pattern: re.Pattern[str]) -> None:
    assert len(_RUN) > 200
    found = {
        f"{file.relative_to(ROOT)}:{number}": line.strip()
        for file in _RUN
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if pattern.search(line)
    }
    assert found == {}


def test_the_readers_see_what_they_look_for() -> None:
    for line in ("session.verify = False", "ssl.CERT_NONE", "session.trust_env = False", '"verify": False'):
        assert _OFF.search(line)
    assert _PLAIN.search('url = "http://totara.example.com"')
    assert not _PLAIN.search('"http://127.0.0.1:8080"')
