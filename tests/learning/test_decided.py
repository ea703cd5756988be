"""What our decisions hide: the silence about whoever they are in force against, and no other."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from detector.errors import ConfigError
from detector.learning.decided import hidden_by, read_decisions
from detector.learning.labels import MEMORY_MS
from detector.records import number_text
from detector.units import DAY_MS
from detector.verdict.decisions import Decision
from tests.strategies import NUMBERS
from tests.verdict.test_decisions import FULL

NUMBER = NUMBERS[0]


def block(from_days: float, until_days: float, number: int = NUMBER, **fields: object) -> Decision:
    """A block of a number, in force on some days."""
    from_ms, until_ms = int(from_days * DAY_MS), int(until_days * DAY_MS)
    made = replace(FULL, number=number_text(number), action="block", issued_at=from_ms, expires_at=until_ms)
    return replace(made, **fields)


def days(*stretches: tuple[float, float]) -> list[tuple[int, int]]:
    """While it is in force and a week more."""
    return [(int(first * DAY_MS), int(last * DAY_MS) + MEMORY_MS) for first, last in stretches]


def test_a_decision_hides_while_it_is_in_force_and_until_windows_have_forgotten_it() -> None:
    """
    block     |====|- 7 d -|            |==|- 7 d -|
              3    5      12           40  41     48
    """
    assert hidden_by([block(3, 5), block(40, 41)]) == {NUMBER: days((3, 5), (40, 41))}
    assert hidden_by([block(3, 5), block(11, 13)]) == {NUMBER: days((3, 13))}


def test_what_nobody_felt_hides_nothing() -> None:
    """A flag, which is also what the hold-out or the mode leaves of a block; shadow mode; a release."""
    for action in ("warn", "block"):
        assert hidden_by([block(3, 5, action=action)]) == {NUMBER: days((3, 5))}
    for action in ("flag", "release", "allow"):
        assert hidden_by([block(3, 5, action=action)]) == {}
    for held_back in (("hold_out",), ("mode",), ("hold_out", "warm_up")):
        assert hidden_by([block(3, 5, action="flag", held_back=held_back)]) == {}
    assert hidden_by([block(3, 5, mode="shadow")]) == {}
    assert hidden_by([block(3, 5), block(4, 4, mode="shadow", action="release")]) == {NUMBER: days((3, 5))}


def test_a_case_is_as_its_last_decision_says() -> None:
    """
    block           |===========|   a release ends it, a renewal lengthens it
    release             |
    another scope   |=========|     goes on
    """
    release = block(4, 90, action="release")
    assert hidden_by([block(3, 60), release]) == {NUMBER: days((3, 4))}
    renewed = block(4.5, 6.5, renewals=1)
    assert hidden_by([block(3, 5), renewed]) == {NUMBER: days((3, 6.5))}
    other = block(3, 30, scope="zone:881-high_risk")
    assert hidden_by([block(3, 60), other, release]) == {NUMBER: days((3, 30))}


def test_an_operators_block_hides_as_ours_does() -> None:
    """Of a number in the hold-out too: it is blocked all the same."""
    held = block(3, 5, action="flag", held_back=("hold_out",))
    assert hidden_by([held, block(9, 10, source="operator:ann", basis="operator")]) == {NUMBER: days((9, 10))}


def test_a_file_of_decisions_is_read_line_by_line(tmp_path: Path) -> None:
    """And what is none is named."""
    path = tmp_path / "d.jsonl"
    path.write_bytes(FULL.to_json() + b"\n\n" + FULL.to_json() + b"\n")
    assert list(read_decisions(path)) == [FULL, FULL]
    path.write_bytes(FULL.to_json() + b"\n{}\n")
    with pytest.raises(ConfigError, match=r"d\.jsonl: line 2: wanted a decision"):
        list(read_decisions(path))
    with pytest.raises(ConfigError, match="wanted a readable file"):
        list(read_decisions(tmp_path / "none"))
