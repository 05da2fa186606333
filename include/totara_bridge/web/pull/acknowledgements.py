"""``POST /acknowledgements``: what is wrong with one acknowledgement keeps no other from being recorded."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from totara_bridge.completion import storable
from totara_bridge.staging import acknowledgement
from totara_bridge.staging.acknowledgement import Acknowledgement, Outcome, Result, Said
from totara_bridge.web.problem import Problem
from totara_bridge.web.pull import completion_id
from totara_bridge.web.pull.call import Answer, Call
from totara_bridge.web.pull.parameters import Nothing, read, sentence

#: Acknowledgements in one request.
MOST = 5000

_LARGEST = 2**63 - 1
_LONGEST_NUMBER = 20
_LONGEST_ID = 100

#: Characters: several times what one takes that says all it may, with each character escaped.
_LONGEST = 131_072


def _readable(word: str) -> str:
    if completion_id.read(word) is None:
        raise ValueError("it is not the id of a completion, which is written as sbx-3-20")
    return word


class Sent(BaseModel):
    """One acknowledgement, as it is sent."""

    # types are what they are: no "12" for 12
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    id: Annotated[str, AfterValidator(_readable)]
    status: Annotated[Said, Field(strict=False)]
    version: Annotated[int, Field(ge=1, le=_LARGEST)] | None = None
    reference: Annotated[str, Field(max_length=200), AfterValidator(storable)] | None = None
    message: Annotated[str, Field(max_length=1000), AfterValidator(storable)] | None = None

    def acknowledgement(self) -> Acknowledgement:
        """What is said."""
        site, user_id, course_id = completion_id.read(self.id) or ("", 0, 0)
        return Acknowledgement(site, user_id, course_id, self.status, self.version, self.reference, self.message)


def acknowledge(call: Call) -> Answer:
    """Record what is said of each completion.

    :raises Problem: the body is not a list of 1 to 5 000 in JSON; nothing was recorded.
    """
    read(Nothing, call.query)
    results: list[dict[str, str | None]] = []
    said: dict[int, Acknowledgement] = {}
    for place, each in enumerate(_sent(call)):
        results.append({"id": _echo(each), "result": Result.INVALID})
        try:
            said[place] = _checked(each).acknowledgement()
        except ValueError as error:
            results[place]["detail"] = str(error)
    if said:
        with call.service.change() as transaction:
            outcomes = acknowledgement.record(transaction, [*said.values()], caller=call.caller.name, now=call.now)
        for place, outcome in zip(said, outcomes, strict=True):
            results[place] |= _told(outcome)
    counts = Counter(each["result"] for each in results)
    answer = {"results": results} | {str(each): counts[each] for each in Result}
    return Answer(json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode())


def _sent(call: Call) -> Iterator[Any]:
    """Each of the list, read when it is its turn; what is behind the last that may be there is never read."""
    _require_json(call.content_type)
    try:
        for place, each in enumerate(_items(call.body.decode())):
            if place == MOST:
                raise Problem(
                    413,
                    "too-many-acknowledgements",
                    f"There are more than {MOST} acknowledgements: send up to {MOST} at once.",
                )
            yield each
    except (ValueError, RecursionError):  # a body that is compressed ends here as well
        raise _body_invalid(
            f"The body is not valid JSON in UTF-8, or one acknowledgement has more than {_LONGEST} characters: "
            "send a list of acknowledgements."
        ) from None


def _items(text: str) -> Iterator[Any]:
    """The items of a list in JSON.

    One by one, for no other thread runs while the decoder does: a list of millions would halt all other requests.

    :raises ValueError: from there on it is no JSON, or the item is too long.
    :raises Problem: it is no list, or there is nothing in it.
    """
    found = _BEGIN.match(text)
    if found is None or text.startswith("]", found.end()):
        raise _body_invalid("The body is not a list of acknowledgements with at least one: send [{…}, …].")
    place, start, window = found.end(), 0, ""
    while True:
        if place + _LONGEST > start + len(window) and start + len(window) < len(text):
            start, window = place, text[place : place + 2 * _LONGEST]  # of many items: a slice for each would cost
        item, end = _DECODER.raw_decode(window, place - start)
        found = _NEXT.match(text, start + end)
        if found is None or start + end - place > _LONGEST:
            raise ValueError(place)
        yield item
        if found["end"]:
            return
        place = found.end()


def _require_json(content_type: str) -> None:
    media_type, _, parameters = content_type.lower().partition(";")
    if media_type.strip() != "application/json" or ("charset" in parameters and "utf-8" not in parameters):
        raise Problem(
            415,
            "unsupported-media-type",
            "The body is not declared as JSON in UTF-8: send it with the header Content-Type: application/json.",
        )


def _body_invalid(detail: str) -> Problem:
    return Problem(400, "invalid-body", detail)


def _number(digits: str) -> int | float:
    """Of a number that is too long for anything here only that it is too large."""
    return int(digits) if len(digits) <= _LONGEST_NUMBER else float(digits)


def _fraction(digits: str) -> int | float:
    """As JSON Schema has it, 3.0 is a whole number."""
    number = float(digits)
    return int(number) if number.is_integer() else number


def _no_constant(word: str) -> float:
    raise ValueError(word)  # NaN and Infinity are not JSON


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(pairs)
    return found


# possessive: however many blanks there are, they are passed over once
_BEGIN = re.compile(r"[ \t\n\r]*+\[[ \t\n\r]*+")
_NEXT = re.compile(r"[ \t\n\r]*+(?:,[ \t\n\r]*+|(?P<end>])[ \t\n\r]*+\Z)")
_DECODER = json.JSONDecoder(
    parse_int=_number, parse_float=_fraction, parse_constant=_no_constant, object_pairs_hook=_no_key_twice
)


def _echo(sent: Any) -> str | None:
    """Its id as it was sent; none: there is none that could be one."""
    word = sent.get("id") if isinstance(sent, dict) else None
    return word if isinstance(word, str) and len(word) <= _LONGEST_ID and word.isprintable() else None


def _checked(sent: Any) -> Sent:
    """The same.

    :raises ValueError: says in a sentence what is wrong with it.
    """
    if not isinstance(sent, dict) or sent.keys() - Sent.model_fields.keys():
        raise ValueError(f"Send an object with nothing else in it than {', '.join(Sent.model_fields)}.")
    try:
        return Sent.model_validate(sent)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise ValueError(" ".join(f"{fault['loc'][0]}: {sentence(fault)}" for fault in faults)) from None


def _told(outcome: Outcome) -> dict[str, str | None]:
    said = []
    match outcome.result:
        case Result.UNKNOWN:
            said.append("There is no completion with this id.")
        case Result.OUTDATED:
            said.append(f"The completion has changed since, and has version {outcome.version} now: fetch it again.")
        case Result.INVALID:
            said.append(f"The completion has version {outcome.version} and never had a later one: fetch it again.")
    if outcome.superseded:
        said.append("Another acknowledgement of the same completion in this list counts.")
    if outcome.erased:
        said.append("The learner was erased: reference and message are not kept.")
    return {"result": outcome.result} | ({"detail": " ".join(said)} if said else {})
