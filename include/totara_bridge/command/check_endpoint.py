"""``check-endpoint``: an endpoint's pass or fail for each rule of docs/oracle-endpoint.md.

It is for whoever builds the Oracle side: it needs neither Airflow nor Totara nor a database.
"""

import argparse
import getpass
import os
import textwrap
from collections.abc import Sequence

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.conformance import RULES, Finding, RuleResult, Sample, check_conformance
from totara_bridge.printable import visible

SECRET = "TOTARA_BRIDGE_CLIENT_SECRET"  # noqa: S105  the variable's name

_FAILED, _NOT_RUN = 1, 2


def register(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = subcommands.add_parser(
        "check-endpoint",
        help="check an endpoint against the published contract, rule by rule",
        description="Posts made-up completions to an endpoint and reports pass or FAIL for each rule of "
        f"docs/oracle-endpoint.md. The client secret is read from {SECRET}, or asked for.",
        epilog="Ends with 0 if no rule failed, 1 if one did, 2 if nothing was checked.",
    )
    access = OracleAccess.__dataclass_fields__
    add = parser.add_argument
    add("--base-url", required=True, help="https://host[:port][/prefix] of the endpoint")
    add("--path", default=access["path"].default, help="after the base URL (%(default)s)")
    add("--token-url", required=True, help="address of the token endpoint")
    add("--client-id", required=True)
    add("--scope", default="", help="to ask for with the token; none: not asked for")
    add("--client-authentication", choices=("basic", "body"), default="basic", help="(%(default)s)")
    add("--timeout", type=float, default=access["timeout"].default, help="seconds for each answer (%(default)s)")
    add("--items-limit", type=_count, default=100, help="items in a full batch, 1 to 1000 (%(default)s)")
    add("--gzip", action="store_true", help="check packed bodies too")
    _add_sample(parser)
    names = [rule.name for rule in RULES]
    add("--skip", action="append", choices=names, default=[], metavar="RULE", help="leave a rule out, such as R17")
    add("--yes", action="store_true", help="the made-up completions may be stored there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, print a report, and return the exit code."""
    sample = Sample(
        site=arguments.site,
        user_id=arguments.user_id,
        user_id_number=arguments.user_id_number,
        course_id=arguments.course_id,
        course_id_number=arguments.course_id_number,
    )
    if not arguments.yes:
        print(
            f"This posts about {arguments.items_limit + 25} made-up completions, which the endpoint will store: take "
            "one for tests, and give --yes."
        )
        return _NOT_RUN
    try:
        access = _access(arguments)
    except ConfigurationInvalid as error:
        print(visible(str(error).replace(" in the Airflow Connection", "")))
        return _NOT_RUN
    results = check_conformance(
        access, sample=sample, full_batch=arguments.items_limit, gzip=arguments.gzip, skip=arguments.skip
    )
    for result in results:
        print(visible(_told(result)))
    print(_sum(results))
    print(f"What was stored there, if anything, has keys that begin with {sample.prefix}.")
    return _FAILED if any(result.finding is Finding.FAIL for result in results) else 0


def _add_sample(parser: argparse.ArgumentParser) -> None:
    fields = Sample.__dataclass_fields__
    group = parser.add_argument_group("the learner and the course in the items, where the endpoint looks them up")
    for name in ("site", "user_id", "user_id_number", "course_id", "course_id_number"):
        default = fields[name].default
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, type=type(default), default=default, help="(%(default)s)")


def _access(arguments: argparse.Namespace) -> OracleAccess:
    return OracleAccess(
        base_url=arguments.base_url,
        path=arguments.path,
        token_url=arguments.token_url,
        client_id=arguments.client_id,
        client_secret=os.environ.get(SECRET) or _asked_for(),
        scope=arguments.scope,
        client_authentication=arguments.client_authentication,
        timeout=arguments.timeout,
    )


def _asked_for() -> str:
    try:
        return getpass.getpass("Client secret: ")
    except EOFError:  # nobody is there to answer
        return ""


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError("give a number from 1 to 1000")
    return int(text)


def _told(result: RuleResult) -> str:
    rule = result.rule
    lines = [f"{rule.name:<4} {result.finding:<12} {rule.statement}"]
    if result.expected is not None:
        lines += [f"expected: {result.expected}", f"answered: {result.answered}", f"change: {rule.change}"]
    elif result.note:
        lines.append(f"({result.note})")
    first, *rest = (textwrap.wrap(line, 100, break_on_hyphens=False, break_long_words=False) for line in lines)
    indented = [textwrap.indent("\n".join(each), " " * 18) for each in rest]
    return "\n".join([_hanging(first), *indented])


def _hanging(lines: list[str]) -> str:
    return "\n".join([lines[0], *(f"{' ' * 18}{line}" for line in lines[1:])])


def _sum(results: Sequence[RuleResult]) -> str:
    counts = {finding: sum(result.finding is finding for result in results) for finding in Finding}
    return f"{len(results)} rules: " + ", ".join(f"{count} {finding}" for finding, count in counts.items() if count)
