"""``core_webservice_get_site_info``: who the caller is, and what the service has."""

import csv
from functools import cache
from pathlib import Path
from typing import Any

from totara_bridge.sandbox.totara.http.rest_call import Call, full_name
from totara_bridge.sandbox.totara.http.rest_parameters import Scalar, Several, Structure, anything
from totara_bridge.sandbox.totara.schema import VERSION

_NAMES = Path(__file__).parents[1] / "captured" / "external_functions.csv"
#: The Moodle that Totara 17.3 says it is.
_RELEASE = "3.4.9 (Build: 20190513)"
_FEATURES = {
    "usecomments": 1,
    "usetags": 1,
    "enablenotes": 1,
    "messaging": 1,
    "enableblogs": 0,
    "enablecompletion": 1,
    "enablebadges": 1,
}

SITE_INFO = Structure({"serviceshortnames": Several(Scalar(anything), default=())})


@cache
def known_functions() -> dict[str, str]:
    """The 397 functions of a 17.3, each with its component: first those of the recorded service, in its order."""
    with _NAMES.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row["component"] for row in csv.DictReader(file)}


def site_info(call: Call) -> dict[str, Any]:
    """The recorded site's answer, with this site's name, caller and functions."""
    switches, user = call.site.switches, call.user
    return {
        "sitename": switches.site_name,
        "username": user["username"],
        "firstname": user["firstname"],
        "lastname": user["lastname"],
        "fullname": full_name(user),
        "lang": user["lang"],
        "userid": user["id"],
        "siteurl": switches.site_url,
        "userpictureurl": switches.picture(1),
        "functions": [{"name": name, "version": _version(name)} for name in _in_order(call)],
        "downloadfiles": 1,
        "uploadfiles": 0,
        "release": _RELEASE,
        "version": VERSION,
        "mobilecssurl": "",
        "advancedfeatures": [{"name": name, "value": value} for name, value in _FEATURES.items()],
        "usercanmanageownfiles": True,
        "userquota": 104857600,
        "usermaxuploadfilesize": 67108864,
        "userhomepage": 105,
        "siteid": 1,
    }


def _in_order(call: Call) -> list[str]:
    return [name for name in known_functions() if name in call.service.functions]


def _version(function: str) -> str:
    """The version of the component that has it."""
    component = known_functions()[function]
    return {"moodle": VERSION, "totara_core": "2022110804"}.get(component, "2022110800")
