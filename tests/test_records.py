"""Numbers in 64 bits, and rows in 64 bytes."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detector.records import (
    BODY_BITS,
    MAX_TRUNK,
    ROW,
    Flag,
    NumberKind,
    are_numbers,
    mix64,
    number_digits,
    number_kind,
    number_text,
    number_trunk,
    pack_digits,
    pack_sender,
    parse_number,
    partition_of,
)

DIGITS = st.text("0123456789", min_size=1, max_size=14)
E164 = st.from_regex(r"\A[1-9][0-9]{0,14}\Z")
TRUNKS = st.integers(0, MAX_TRUNK)


def test_row_is_64_bytes_without_gaps() -> None:
    """The size that the internal topic, its partitions' memory and every figure rest on."""
    assert ROW.itemsize == 64 == sum(field[0].itemsize for field in (ROW.fields or {}).values())


def test_flags_fit_in_their_field() -> None:
    """16 bits hold all of them."""
    assert max(Flag) < 1 << 16


@given(E164, TRUNKS)
def test_e164_number_survives_packing_and_text(digits: str, trunk: int) -> None:
    """All fifteen digits of it, with the trunk group it may be scoped to."""
    number = pack_digits(NumberKind.E164, digits, trunk)
    assert number < 1 << 64
    assert (number_kind(number), number_trunk(number), number_digits(number)) == (NumberKind.E164, trunk, digits)
    assert number_text(number) == (f"+{digits}@{trunk}" if trunk else f"+{digits}")
    assert parse_number(number_text(number)) == number


@given(st.sampled_from([NumberKind.SHORT, NumberKind.LOCAL]), DIGITS, TRUNKS)
def test_short_code_and_extension_keep_their_leading_zeros(kind: NumberKind, digits: str, trunk: int) -> None:
    """0012 is not 12."""
    number = pack_digits(kind, digits, trunk)
    assert (number_kind(number), number_trunk(number), number_digits(number)) == (kind, trunk, digits)
    assert parse_number(number_text(number)) == number


@example("#WIN", 3)
@example("WIN@2026", 0)
@example("WIN@5", 0)
@example("100%23|x", 7)
@given(st.text(min_size=1, max_size=20), TRUNKS)
def test_sender_id_survives_as_text_and_as_hash(text: str, account: int) -> None:
    """With its text where that is known, and without it where it is not."""
    number = pack_sender(text, account)
    assert (number_kind(number), number_trunk(number), number_digits(number)) == (NumberKind.SENDER, account, "")
    assert parse_number(number_text(number, text)) == number
    assert parse_number(number_text(number)) == number
    assert pack_sender(text.casefold(), account) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "9997",
        "+12345678901234567",
        "+0",
        "+0999700000001",
        "+٣",
        "short:",
        "short:١",
        "local:" + "1" * 15,
        "sender:",
        "sender:#x",
        "+1@1024",
    ],
)
def test_text_that_is_no_number_raises_value_error(text: str) -> None:
    """Commands are written by people."""
    with pytest.raises(ValueError, match=r"."):
        parse_number(text)


@given(st.lists(st.tuples(E164, TRUNKS), min_size=1, max_size=20), st.integers(1, 48))
def test_trunk_group_does_not_move_a_number_to_another_partition(
    numbers: list[tuple[str, int]], partitions: int
) -> None:
    """All that is said of a subscriber, spoofed or not, passes through one partition."""
    scoped = np.array([pack_digits(NumberKind.E164, digits, trunk) for digits, trunk in numbers], np.uint64)
    plain = np.array([pack_digits(NumberKind.E164, digits) for digits, _ in numbers], np.uint64)
    at = partition_of(scoped, partitions)
    assert at.tolist() == partition_of(plain, partitions).tolist()
    assert ((at >= 0) & (at < partitions)).all()


def test_partitions_are_even_for_numbers_in_a_row() -> None:
    """A range given out in sequence spreads over all."""
    numbers = np.arange(12_000, dtype=np.uint64) + np.uint64(pack_digits(NumberKind.E164, "999700000000"))
    assert np.bincount(partition_of(numbers, 12)).min() > 850


def test_mix64_is_splitmix64() -> None:
    """Known values of the finaliser: partitions must never move."""
    state = 0
    seen = []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) & (1 << 64) - 1
        seen.append(int(mix64(np.array([state], np.uint64))[0]))
    assert seen == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_number_of_fifteen_nines_fits_in_its_body() -> None:
    """The largest E.164 number there can be."""
    assert int("9" * 15) < 1 << BODY_BITS


@given(
    st.one_of(
        st.integers(0, 2**64 - 1),
        st.builds(
            lambda kind, trunk, body: kind << 60 | trunk << 50 | body, st.integers(0, 5), TRUNKS, st.integers(0, 3000)
        ),
        st.builds(lambda kind, body: kind << 60 | body, st.integers(0, 5), st.integers(10**14 - 5, 2 * 10**14 + 5)),
    )
)
def test_a_number_is_what_can_be_written_and_read_back(number: int) -> None:
    """No number at all is 0, and nothing else."""
    try:
        reads_back = number == 0 or parse_number(number_text(number)) == number
    except ValueError:
        reads_back = False
    assert are_numbers(np.array([number], np.uint64)).tolist() == [reads_back]
