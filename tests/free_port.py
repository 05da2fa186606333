"""Ports for servers of tests. Nobody else gets one of them between its choice and the start of the server."""

import socket
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

#: So many are tried, at once or in turn, by one process.
_STRETCH = 200
#: The kernel gives ports from here to whoever asks for any.
_KERNELS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A TCP port on the loopback address where nothing listens now."""
    return next(_FREE)


def free_ports(count: int) -> list[int]:
    """So many of them, all different."""
    return list(islice(_FREE, count))


def _free() -> Iterator[int]:
    stretch, held = _own_stretch()
    with held:
        for port in cycle(stretch):
            if (probe := _bound(port)) is not None:
                probe.close()
                yield port


def _own_stretch() -> tuple[range, socket.socket]:
    """Ports that no other process tries, and the socket that keeps others from them as long as it is open."""
    end = min(32_000, int(_KERNELS.read_text().split()[0])) if _KERNELS.exists() else 32_000
    for first in range(max(1024, end - 12_000), end - _STRETCH, _STRETCH):
        if (held := _bound(first)) is not None:
            return range(first + 1, first + _STRETCH), held
    raise RuntimeError(f"No ports are left below those that the kernel gives to anybody: see {_KERNELS}.")


def _bound(port: int) -> socket.socket | None:
    bound = socket.socket()
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        return None
    return bound


_FREE = _free()
