"""What is alike on the way to a Totara and to an Oracle: which host is this machine, and why no answer came."""

import ssl
from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: 127.0.0.0/8, ::1 or localhost."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def leads_here(url: str) -> bool:
    """Whether an address is this machine's own."""
    return is_loopback(urlsplit(url).hostname or "")


def proxies_to(url: str) -> dict[str, str] | None:
    """What requests is to know of proxies on the way to an address: loopback is never reached through one.

    Of everything else, such as a certificate authority of one's own, the environment has its say there too.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # an address that cannot be: whoever asks there is told so
        return None
    return {"no_proxy": host} if is_loopback(host) else None


def causes(error: BaseException) -> list[BaseException]:
    """The error and what it was made of, outermost first; libraries keep it in three places."""
    chain = [error]
    while True:
        last = chain[-1]
        inner = [getattr(last, "reason", None), *last.args, last.__cause__, last.__context__]
        following = next((each for each in inner if isinstance(each, BaseException) and each not in chain), None)
        if following is None:
            return chain
        chain.append(following)


def innermost_reason(error: BaseException) -> str:
    """The innermost reason that the operating system or TLS gave, else the error's name."""
    for each in reversed(causes(error)):
        words = each.verify_message if isinstance(each, ssl.SSLCertVerificationError) else ""
        if isinstance(each, OSError) and not words:
            words = each.strerror or ""
        if words:
            return words
    return type(causes(error)[-1]).__name__
