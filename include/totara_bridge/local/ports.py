"""TCP ports on loopback: the one asked for, the one of the last run, or a free one near the default."""

import errno
import itertools
import os
import socket

from totara_bridge.local.home import LocalRunFailed

#: Service: (the variable that names its port, the port when nothing names it).
SERVICES = {
    "airflow": ("TOTARA_BRIDGE_AIRFLOW_PORT", 8080),
    "oracle": ("TOTARA_BRIDGE_ORACLE_PORT", 8090),
    "totara": ("TOTARA_BRIDGE_TOTARA_PORT", 8070),
}
_NEIGHBOURS = 100


def asked(service: str) -> str:
    """What the environment says of the service's port; empty: nothing."""
    return os.environ.get(SERVICES[service][0], "")


def choose(service: str, *, remembered: int | None, avoid: set[int]) -> int:
    """A port that nothing listens on.

    :param avoid: ports of our other services, which may not run yet.
    :raises LocalRunFailed: the port asked for is taken, or no port at all.
    """
    variable, default = SERVICES[service]
    if wish := asked(service):
        return _as_asked(variable, wish, avoid)
    wanted = remembered or default
    for port in itertools.chain([wanted], range(default, default + _NEIGHBOURS)):
        if port not in avoid and free(port):
            return port
    raise LocalRunFailed(
        f"Every port from {default} to {default + _NEIGHBOURS - 1} is in use: name a free one in {variable}."
    )


def free(port: int) -> bool:
    """Whether we could listen there now."""
    with socket.socket() as caller:
        caller.settimeout(1)
        # some systems let us bind one address of a port that another listens on at all addresses
        if caller.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def _as_asked(variable: str, wish: str, avoid: set[int]) -> int:
    if not wish.isascii() or not wish.isdigit() or not 0 < int(wish) < 65536:
        raise LocalRunFailed(f"{variable} is {wish!r}, which is no port: give a number from 1 to 65535.")
    port = int(wish)
    if port in avoid or not free(port):
        raise LocalRunFailed(
            f"Port {port} of {variable} is in use or not ours to use: name a free one, "
            f"or unset {variable} to have one chosen."
        )
    return port
