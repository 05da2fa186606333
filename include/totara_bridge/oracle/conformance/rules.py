"""The rules of docs/oracle-endpoint.md in one table, and the run that checks them in its order."""

from collections.abc import Collection, Sequence

from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.conformance import contents, entry, manner, refusing, storing
from totara_bridge.oracle.conformance.probe import Probe, Sample
from totara_bridge.oracle.conformance.rule import Finding, Rule, RuleResult, not_checked, result_of

_UNIQUE = "Keep idempotencyKey in a UNIQUE column, write it in the transaction that stores the item, look for it there."
_LENIENT = "Read the fields that you know, take null where the contract allows it, and ignore the rest."

RULES = (
    Rule(
        1,
        "The token endpoint gives a token for client credentials.",
        entry.token_is_issued,
        "Correct the token URL, the client id, the secret, the scope or the client authentication; allow the "
        "application the grant type Client Credentials.",
        needs=(),
    ),
    Rule(
        2,
        "One good item is stored: 2xx, empty or with the result `stored`.",
        entry.good_item_is_stored,
        "Take a POST at this address; where you look up learners and courses, name some that you have "
        "(--user-id, --user-id-number, --course-id, --course-id-number, --site).",
        needs=(1,),
    ),
    Rule(
        3,
        "A request without a token is answered with 401.",
        entry.no_token_is_refused,
        "Protect the endpoint with OAuth2, and answer 401 before you look at the body.",
    ),
    Rule(
        4,
        "A request with a token that nobody issued is answered with 401.",
        entry.wrong_token_is_refused,
        "Verify the token's signature, audience and expiry, and answer 401 before you look at the body.",
    ),
    Rule(
        5,
        "Each item of a batch has one result under its own key; or the answer has no results at all.",
        storing.each_has_one_result,
        "Answer one result for each item, with the item's own idempotencyKey.",
    ),
    Rule(
        6,
        "The same request again stores nothing again: `duplicate`, or `stored` with the same reference.",
        storing.same_request_again,
        _UNIQUE,
    ),
    Rule(
        7,
        "An item that comes again in another batch is not stored again.",
        storing.same_item_elsewhere,
        _UNIQUE + " The header Idempotency-Key does not help here: it is another.",
    ),
    Rule(
        8,
        "The same request several times at once: each item is stored once, and no answer but 2xx or 409.",
        storing.same_request_at_once,
        _UNIQUE + " Treat a violation of UNIQUE as duplicate, never as an error of the server.",
        needs=(1, 2, 6),
    ),
    Rule(
        9,
        "A bad item does not hold up good ones: it is `rejected` beside them, or all are refused with 400 or 422 and "
        "the good ones are taken without it.",
        refusing.bad_item_among_good,
        "Refuse an item without userId by its own result, or answer 400 or 422 and store nothing of the batch.",
    ),
    Rule(
        10,
        "A refusal says why, with a code or a message.",
        refusing.refusal_says_why,
        'Put {"error": {"code": …, "message": …}} into the result, or into the body of a 400 or 422.',
    ),
    Rule(
        11,
        "A refusal does not repeat the learner's data.",
        refusing.refusal_repeats_nobody,
        "Name the field that is wrong, not what stood in it.",
    ),
    Rule(
        12,
        "A body that is not JSON is answered with 400 or 422.",
        refusing.broken_json,
        "Catch the parser's error: a 5xx would be sent again and again.",
    ),
    Rule(
        13,
        "An empty batch is answered with 2xx, 400 or 422.",
        refusing.empty_batch,
        "Take an empty list of items; the bridge's connection test posts one.",
    ),
    Rule(14, "Fields that you do not know are ignored.", contents.unknown_fields, _LENIENT),
    Rule(15, "Progress, names and the e-mail address may be null.", contents.null_texts, _LENIENT),
    Rule(
        16,
        "Text may be of any language: macrons, other scripts, emoji, quotes, line breaks.",
        contents.any_language,
        "Read the body as UTF-8, store text as AL32UTF8, and bind values instead of putting SQL together.",
    ),
    Rule(
        17,
        "A correction and a withdrawal are stored or `rejected`, each by itself.",
        contents.corrections_and_withdrawals,
        "Store them, or reject them by their own results; or leave both off for this destination in bridge.toml.",
    ),
    Rule(
        18,
        "A full batch (100 items, or --items-limit) is taken whole, or answered with 413.",
        contents.full_batch,
        "Take as many items as is agreed on, or answer 413 to what is too large for you.",
    ),
    Rule(
        19,
        "A body with `Content-Encoding: gzip` is unpacked.",
        contents.packed_body,
        "Unpack the body before you read it, or leave gzip off for this destination in bridge.toml.",
    ),
    Rule(
        20,
        "Every request is answered within the timeout.",
        manner.in_time,
        "Answer sooner, agree on smaller batches, or on a longer timeout (--timeout).",
        needs=(1,),
    ),
    Rule(
        21,
        "No answer is a redirect.",
        manner.no_redirect,
        "Give the address that answers itself, with https and without a sign-in page before it.",
        needs=(1,),
    ),
    Rule(
        22,
        "A 2xx, 400 or 422 is empty or JSON, and says so in its Content-Type.",
        manner.json_that_says_so,
        "Answer with Content-Type: application/json; turn off the gateway's own error pages.",
        needs=(1,),
    ),
    Rule(
        23,
        "The connection stays open for the next request.",
        manner.connection_stays_open,
        "Keep connections alive: without it each request pays for a TLS handshake.",
        advice=True,
    ),
    Rule(
        24,
        "Each answer names the request in `Opc-Request-Id`, `X-Request-Id` or `X-ORACLE-DMS-ECID`.",
        manner.request_has_a_name,
        "Give each answer an id that your own logs have too: the bridge shows it beside what went wrong.",
        advice=True,
    ),
)


def check_conformance(
    access: OracleAccess,
    *,
    sample: Sample | None = None,
    full_batch: int = 100,
    gzip: bool = False,
    skip: Collection[str] = (),
) -> Sequence[RuleResult]:
    """Check every rule against an endpoint, which stores what it is sent.

    :param sample: what the items have in common, and how to find them again.
    :param full_batch: items in the largest batch.
    :param gzip: whether packed bodies are agreed on.
    :param skip: names of rules to leave out, such as R17.
    """
    passed: set[int] = set()
    results = []
    with Probe(access, sample or Sample(), full_batch=full_batch, gzip=gzip) as probe:
        for rule in RULES:
            missing = [f"R{number}" for number in rule.needs if number not in passed]
            if rule.name in skip:
                result = not_checked(rule, "it was left out (--skip)")
            elif missing:
                result = not_checked(rule, f"it needs {', '.join(missing)}")
            else:
                result = result_of(rule, probe)
            if result.finding is Finding.PASS:
                passed.add(rule.number)
            results.append(result)
    return results
