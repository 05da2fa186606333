"""Whether a service is well, for the health checks of containers: exit code 0 or 1, and why as a sentence.

``healthy.py http://api-server:8080`` asks the API server, ``healthy.py http://api-server:8080 scheduler`` what it knows
of another service of Airflow, ``healthy.py http://127.0.0.1:8090 pull`` the Pull API alone, and ``sandbox`` the
invented Oracle.
"""

import json
import sys
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

_TIMEOUT = 10.0  # seconds
#: What looks like a token of the Pull API and is none: to say so, it asks its database.
_NOBODY = {"X-Api-Key": "tbk_" + 36 * "0"}
_PATHS = {"pull": "/bridge/api/v1/status", "sandbox": "/sandbox/health"}  #: of what is no service of Airflow


def trouble(address: str, service: str = "") -> str | None:
    """What is wrong, as a sentence; none: it is well."""
    path = _PATHS.get(service, "/api/v2/monitor/health")
    try:
        asked = Request(address + path, headers=_NOBODY if service == "pull" else {})  # noqa: S310  the compose file's
        with build_opener(ProxyHandler({})).open(asked, timeout=_TIMEOUT) as answer:
            said = json.load(answer)
    except HTTPError as error:
        with error:
            alive = service == "pull" and error.code == 401
        return None if alive else f"{address} answers with HTTP {error.code}."
    except (URLError, OSError, ValueError) as error:
        return f"{address} does not answer: {error}."
    if service == "sandbox":
        return None
    status = said[service or "metadatabase"]["status"]
    return None if status == "healthy" else f"The {service or 'database of Airflow'} is {status or 'not there'}."


if __name__ == "__main__":
    found = trouble(*sys.argv[1:])
    if found is not None:
        sys.exit(found)
