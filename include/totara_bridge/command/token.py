"""``token``: who may use the Pull API; giving, replacing and taking back their tokens."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from totara_bridge import api_token
from totara_bridge.api_token import Issued
from totara_bridge.command.maintainer import maintainer
from totara_bridge.errors import RequestInvalid
from totara_bridge.printable import visible
from totara_bridge.staging.api_token import Scope, Token, tokens
from totara_bridge.staging.database import staging
from totara_bridge.staging.engine import Transaction


def register(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``token``."""
    parser = subcommands.add_parser(
        "token",
        help="tokens of the Pull API: list, issue, rotate, revoke",
        description="A new token alone goes to standard output, once; what is said of it to standard error.",
    )
    verbs = parser.add_subparsers(metavar="verb", required=True)
    _verb(verbs, "list", _list, "all tokens there ever were, times in UTC")
    issue = _verb(verbs, "issue", _issue, "give a caller its first token, or one after all others have ended")
    issue.add_argument("caller", help="the name of the system that fetches; it keeps its acknowledgements by it")
    scopes = f"of {_SCOPES}; again for more; none: all"
    issue.add_argument("--scope", action="append", type=_scope, metavar="SCOPE", help=scopes)
    issue.add_argument("--network", action="append", metavar="CIDR", help="where it may come from; again for more")
    lasts = issue.add_mutually_exclusive_group()
    lasts.add_argument("--days", type=_days, default=api_token.LASTS.days, help="how long it lives (%(default)s)")
    lasts.add_argument("--no-expiry", action="store_true", help="it lives until it is revoked")
    rotate = _verb(verbs, "rotate", _rotate, "give a caller another token for the one it has")
    rotate.add_argument("caller", help="as `token list` has it")
    overlap = "how long the old one lives on (%(default)s); 0: it ends now"
    rotate.add_argument("--overlap-days", type=_days, default=api_token.OVERLAP.days, metavar="DAYS", help=overlap)
    revoke = _verb(verbs, "revoke", _revoke, "end a token, or all of a caller, now and for good")
    revoke.add_argument("whose", metavar="caller or number", help="as `token list` has it")


_SCOPES = ", ".join(Scope)

_Verb = Callable[[Transaction, argparse.Namespace, datetime], Callable[[], None]]


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, do: _Verb, words: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=words, description=f"{words[:1].upper()}{words[1:]}.")
    parser.set_defaults(run=run, do=do)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do it, and say so once it is done.

    :raises RequestInvalid: it cannot be.
    """
    with staging(connections=1) as engine, engine.begin() as transaction:
        say = arguments.do(transaction, arguments, datetime.now(UTC))
    say()
    return 0


def _list(transaction: Transaction, _: argparse.Namespace, now: datetime) -> Callable[[], None]:
    lines = [_line(each, now) for each in tokens(transaction)] or ["There is no token: issue one."]
    return lambda: print(visible("\n".join(lines)))


def _issue(transaction: Transaction, asked: argparse.Namespace, now: datetime) -> Callable[[], None]:
    issued = api_token.issue(
        transaction,
        caller=asked.caller,
        scopes=asked.scope or [*Scope],
        networks=asked.network or (),
        lasts=None if asked.no_expiry else timedelta(days=asked.days),
        by=maintainer(),
        now=now,
    )
    _print(issued.token)
    return lambda: _explain(issued, asked.caller)


def _rotate(transaction: Transaction, asked: argparse.Namespace, now: datetime) -> Callable[[], None]:
    overlap = timedelta(days=asked.overlap_days)
    rotated = api_token.rotate(transaction, caller=asked.caller, overlap=overlap, by=maintainer(), now=now)
    _print(rotated.new.token)
    one = len(rotated.old) == 1
    until = f"in until {_time(rotated.old_until)} UTC" if overlap else "nobody in any more"

    def say() -> None:
        _explain(rotated.new, asked.caller)
        print(f"{_numbers(rotated.old)} {'lets' if one else 'let'} {until}.", file=sys.stderr)

    return say


def _revoke(transaction: Transaction, asked: argparse.Namespace, now: datetime) -> Callable[[], None]:
    whose = int(asked.whose) if re.fullmatch("[0-9]{1,19}", asked.whose) else asked.whose
    revoked = api_token.revoke(transaction, whose, by=maintainer(), now=now)
    said = _numbers(revoked).lower() if revoked else "none, what there is was already"
    return lambda: print(f"revoked: {said}")


def _numbers(tokens: Sequence[int]) -> str:
    *others, last = map(str, tokens)
    return f"Tokens {', '.join(others)} and {last}" if others else f"Token {last}"


def _print(token: str) -> None:
    """Print a new token, before it is committed: one that lets in and that nobody has read is of no use.

    :raises RequestInvalid: it cannot be printed.
    """
    if sys.stdout is None:  # it was closed before Python began
        raise _unprinted("it is closed")
    try:
        print(token, flush=True)
    except OSError as error:
        with suppress(OSError):
            sys.stdout.close()  # or Python tries again when it ends
        raise _unprinted(error.strerror or str(error)) from None


def _unprinted(why: str) -> RequestInvalid:
    return RequestInvalid(
        f"The new token cannot be written to standard output ({why}), so nothing was changed: "
        "have it written elsewhere."
    )


def _explain(issued: Issued, caller: str) -> None:
    until = "until it is revoked" if issued.expires_at is None else f"until {_time(issued.expires_at)} UTC"
    sentence = f"This is token {issued.id} of {caller}, {until}. It is shown this once: nobody can read it again."
    print(visible(sentence), file=sys.stderr)


def _line(token: Token, now: datetime) -> str:
    said = [
        f"{token.id}  {token.caller}  {token.hint}…",
        _state(token, now),
        "/".join(token.scopes),
        f"from {' '.join(token.networks) or 'anywhere'}",
        f"issued {_time(token.created_at)} by {token.created_by}",
        "never used" if token.last_used_at is None else f"last used {_time(token.last_used_at)}",
    ]
    return ", ".join(said)


def _state(token: Token, now: datetime) -> str:
    if token.revoked_at is not None:
        return f"revoked {_time(token.revoked_at)} by {token.revoked_by}"
    if token.expires_at is None:
        return "live"
    return f"{'live until' if token.is_live(now) else 'expired'} {_time(token.expires_at)}"


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def _days(written: str) -> int:
    if not re.fullmatch("[0-9]+", written):
        raise argparse.ArgumentTypeError(f"{written} is no number of days")
    longest = timedelta.max.days
    return int(written) if len(written) < len(str(longest)) else longest  # which is too long, as whoever asks is told


def _scope(written: str) -> Scope:
    if written not in [*Scope]:
        raise argparse.ArgumentTypeError(f"{written} is no scope: choose of {_SCOPES}")
    return Scope(written)
