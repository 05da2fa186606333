"""What a token of the Pull API looks like."""

import binascii
import re
import string

import pytest

from totara_bridge import api_token
from totara_bridge.api_token import Issued

#: In the order of their values.
ALPHABET = string.digits + string.ascii_lowercase + string.ascii_uppercase


@pytest.fixture(scope="module")
def made() -> list[str]:
    """Some tokens."""
    return [api_token.new_token() for _ in range(2_000)]


def test_each_is_a_prefix_thirty_random_characters_and_six_that_are_their_crc(made: list[str]) -> None:
    for token in made:
        assert re.fullmatch(r"tbk_[0-9A-Za-z]{36}", token)
        number = 0
        for digit in token[-6:]:
            number = number * 62 + ALPHABET.index(digit)
        assert number == binascii.crc32(token[:-6].encode())


def test_no_two_are_alike_and_every_character_is_used_at_every_place(made: list[str]) -> None:
    assert len({token[4:34] for token in made}) == len(made)
    for place in range(4, 34):
        # one of 62 that is missing among 2 000: in one of 10^10 runs
        assert {token[place] for token in made} == set(ALPHABET)


def test_it_is_in_no_repr() -> None:
    issued = Issued(7, api_token.new_token(), None)
    assert issued.token not in repr(issued)
    assert "tbk_" not in repr(issued)
