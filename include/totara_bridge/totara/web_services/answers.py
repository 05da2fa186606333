"""What an answer of Totara's web services means: the one table from a body to a value, or to a sentence.

An error is an answer with status 200 too, and has the keys ``exception``, ``errorcode``, ``message``, and ``debuginfo``
on a site that is debugged (measured on 17.3).
"""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from totara_bridge.errors import TotaraRefused, TotaraUnavailable
from totara_bridge.hidden import Hidden
from totara_bridge.printable import CUT
from totara_bridge.totara.http import Answer

#: What is said of one learner in one course, and of nothing else.
OF_A_PAIR = frozenset({"usernotenroled", "usernotavailable", "nocriteriaset", "invalidrecordunknown"})
NO_CRITERIA = "nocriteriaset"
#: What the token's user may not do in this course, and perhaps in others.
NOT_ALLOWED = frozenset({"nopermissions", "cannotviewreport"})
#: What holds for every call: nothing more is to be asked.
_OF_EVERY_CALL = frozenset({"invalidtoken", "accessexception"})

_LONGEST_WORDS = 200
_LONGEST_READ = 4 * _LONGEST_WORDS  #: characters of a text in which the token is looked for

#: What each object that a function gives has at least.
_KEYS = {
    "core_webservice_get_site_info": {"functions", "sitename", "username"},
    "core_course_get_courses": {"id", "categoryid", "shortname", "fullname"},
    "core_course_get_categories": {"id"},
    "core_enrol_get_enrolled_users": {"id"},
    "core_completion_get_course_completion_status": {"completed", "completions"},
    "core_cohort_get_cohorts": {"id", "idnumber"},
    "core_cohort_get_cohort_members": {"cohortid", "userids"},
}
#: These give one object, the others a list; where a name is given, the object is below it.
_ONE = {"core_webservice_get_site_info": "", "core_completion_get_course_completion_status": "completionstatus"}


class CallRefused(TotaraRefused):
    """Totara answers a call with an error."""

    def __init__(self, sentence: str, code: str) -> None:
        """Say so.

        :param code: Totara's ``errorcode``.
        """
        super().__init__(sentence)
        self.code = code

    @property
    def ends_all(self) -> bool:
        """Whether every other call would be refused as well."""
        return self.code in _OF_EVERY_CALL


@dataclass(frozen=True)
class Asked:
    """What was asked, for the sentences."""

    server: str
    function: str
    token: str = field(repr=False)  #: to take it out of Totara's words


_WHERE = "in Totara under Server > Web services"

#: Answers that another time are another one.
_NOT_NOW = {
    "sitemaintenance": (
        "is in maintenance mode: it will be asked again; if it stays so, have its administrator end it, or give the "
        "token's user the capability moodle/site:maintenanceaccess"
    ),
    "upgraderunning": "is being upgraded: it will be asked again once its administrator has finished the upgrade",
}
#: Totara's database fails, whatever is asked of it.
_DATABASE = re.compile(r"^(dml(read|write|connection|transaction|sessionwait)|dbconnectionfailed)")

_REFUSED = {
    "invalidtoken": (
        f'does not know the token: have its administrator make one {_WHERE} > Manage tokens, and put it into "API '
        'token" of the Airflow Connection'
    ),
    "accessexception": (
        f"gives the token no access to {{function}}: look {_WHERE} whether the service is enabled and has this "
        "function, whether the token has expired or holds for other addresses than this machine's, and whether its "
        "user is authorised for the service and has the capability webservice/rest:use"
    ),
    "nopermissions": (
        "does not let the token's user call {function} ({message}): give a role of this user that capability for the "
        "whole site"
    ),
    "cannotviewreport": (
        "does not show who completed the course ({function}): have its completion tracking turned on, or give a role "
        "of the token's user the capability report/completion:view for the whole site"
    ),
    "invalidparameter": (
        "does not take the parameters of {function}: this release wants others than Totara 17, so upgrade the bridge, "
        'or choose another "Source"; with debugging on, Totara says which parameter'
    ),
    "invalidrecordunknown": (
        "does not know what {function} asks about: it has been deleted meanwhile, or this release has no such "
        'function; upgrade the bridge, or choose another "Source", if it stays so'
    ),
    "usernotenroled": "says that the learner is not enrolled in the course any more: nothing is to be done",
    "usernotavailable": (
        "does not show the learner, who is deleted or hidden: give the token's user the capability "
        "moodle/user:viewdetails, if the learner is not deleted"
    ),
    NO_CRITERIA: "has no completion criteria in the course: set some there, or nobody completes it",
}


def read(answer: Answer, asked: Asked) -> Any:
    """What the function gives.

    :raises TotaraUnavailable: none now: maintenance, an upgrade, a cut answer, the page of a proxy.
    :raises CallRefused: Totara answers with an error.
    :raises TotaraRefused: there are no web services, or something else answers.
    """
    if answer.status >= 400:
        raise _refused_status(answer, asked)
    start = answer.body[:_LONGEST_WORDS].lstrip()
    if answer.content_type.endswith("/xml") or start.startswith(b"<?xml"):
        raise _of_xml(answer, asked)
    if answer.content_type == "text/html" or start.startswith(b"<"):
        raise _of_page(answer, asked)
    try:
        value = answer.json()
    except ValueError:
        raise TotaraUnavailable(
            f"{asked.server} answered {asked.function} with what is no whole JSON ({len(answer.body)} bytes): it will "
            "be asked again; if it stays so, look into the error log of Totara's web server (PHP's memory or time may "
            "end), or turn off that debug messages are displayed."
        ) from None
    if isinstance(value, dict) and "exception" in value:
        raise _of_exception(value, asked)
    if not _has_its_keys(value, asked.function):
        raise TotaraRefused(
            f"{asked.server} answered {asked.function} with JSON of another shape than Totara 17 has: check that "
            '"Server URL" is that of a Totara; if it is, upgrade the bridge, or choose another "Source".'
        )
    return value


def _has_its_keys(value: Any, function: str) -> bool:
    if function in _ONE:
        name = _ONE[function]
        value = [value.get(name) if isinstance(value, dict) and name else value]
    keys = _KEYS.get(function, set())
    return not keys or _all(
        value, lambda each: keys <= each.keys() and all(_KINDS.get(key, _is_text)(each[key]) for key in keys)
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _all(value: Any, holds: Callable[[dict[str, Any]], bool]) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) and holds(each) for each in value)


#: What stands under a key is of the kind that Totara 17 has there; under others it is text.
_KINDS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("id", "categoryid", "cohortid"), _is_id),
    "userids": lambda value: isinstance(value, list) and all(map(_is_id, value)),
    "functions": lambda value: _all(value, lambda each: _is_text(each.get("name"))),
    "completions": lambda value: _all(value, lambda each: "complete" in each),
    "completed": lambda value: isinstance(value, bool | int),
    "idnumber": lambda value: value is None or _is_text(value),
}


def _refused_status(answer: Answer, asked: Asked) -> TotaraRefused:
    if answer.status == 403 and not answer.body:
        return TotaraRefused(
            f"{asked.server} has its web services or their REST protocol off (403): have its administrator turn both "
            f'on, "Enable web services" and, {_WHERE} > Manage protocols, "REST protocol".'
        )
    return TotaraRefused(
        f"{asked.server} answered {asked.function} with {answer.status}, which Totara itself never does: have who runs "
        "the web server, proxy or firewall before it let POST requests to /webservice/rest/server.php through."
    )


def _of_xml(answer: Answer, asked: Asked) -> TotaraRefused | TotaraUnavailable:
    text = answer.body.decode("utf-8", "replace")
    found = {name: re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL) for name in ("ERRORCODE", "MESSAGE")}
    code, message = (html.unescape(match[1]) if match else "" for match in found.values())
    if code:
        return _of_exception({"errorcode": code, "message": message}, asked)
    return TotaraRefused(
        f"{asked.server} answered {asked.function} in XML although JSON was asked for: have who runs the proxy or "
        "firewall before it pass on the whole form of a POST request."
    )


def _of_page(answer: Answer, asked: Asked) -> TotaraUnavailable:
    title = re.search(r"<title[^>]*>(.*?)</title>", answer.body.decode("utf-8", "replace"), re.DOTALL | re.IGNORECASE)
    said = f' ("{_words(html.unescape(title[1]), asked)}")' if title else ""
    return TotaraUnavailable(
        f"{asked.server} answered {asked.function} with a page{said} instead of JSON, as in maintenance, in an upgrade "
        "or from a proxy that wants a login: it will be asked again; if it stays so, open the address in a browser on "
        "this machine and have who shows the page let this machine through."
    )


def _of_exception(said: dict[str, Any], asked: Asked) -> TotaraRefused | TotaraUnavailable:
    code = _words(str(said.get("errorcode") or said.get("exception")), asked)
    message, why = (_words(str(said.get(name) or ""), asked) for name in ("message", "debuginfo"))
    because = f" (Totara: {why})" if why else ""
    if code in _NOT_NOW:
        return TotaraUnavailable(f"{asked.server} {_NOT_NOW[code]}{because}.")
    if _DATABASE.match(code):
        return TotaraUnavailable(
            f"The database of {asked.server} failed while {asked.function} was answered ({code}): it will be asked "
            f"again; if it stays so, have Totara's administrator look into its error log{because}."
        )
    words = _REFUSED.get(
        code,
        "refuses {function} ({code}: {message}): have its administrator look up this error in Totara's log, and try "
        "the same call there as the token's user",
    )
    sentence = words.format(function=asked.function, code=code, message=message)
    return CallRefused(f"{asked.server} {sentence}{because}.", code)


def _words(text: str, asked: Asked) -> str:
    """On one line, without the token, and without what can be neither shown nor stored."""
    # cut twice: a long text is not searched whole, and what is cut before it is searched may end within the token
    beginning = text[:_LONGEST_READ] + CUT * (len(text) > _LONGEST_READ)
    words = " ".join("".join(each if each.isprintable() else " " for each in beginning).split())
    return Hidden(frozenset({asked.token})).hide(words)[:_LONGEST_WORDS].rstrip(".")
