"""What our decisions hide: the silence about whoever they are in force against, and no other."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from detector.errors import ConfigError
from detector.learning.decided import hidden_by, read_decisions
from detector.learning.labels import MEMORY_MS
from detector.records import NumberKind, number_text, pack_digits
from detector.verdict.decisions import Decision
from tests.strategies import DAY_MS, NUMBERS
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


def test_flags_and_warnings_hide_and_what_ends_something_or_was_never_in_force_does_not() -> None:
    """Nobody acts on shadow mode, and a release is nothing against anybody."""
    for action in ("flag", "warn", "block"):
        assert hidden_by([block(3, 5, action=action)]) == {NUMBER: days((3, 5))}
    for action in ("release", "allow"):
        assert hidden_by([block(3, 5, action=action)]) == {}
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


def test_the_hold_out_hides_nothing_until_it_is_blocked_all_the_same() -> None:
    """Not by its other flags either, nor behind a trunk; an operator's block is a block."""
    held = block(3, 5, action="flag", held_back=("hold_out",))
    milder = block(1, 2, action="flag", rule="watch")
    assert hidden_by([milder, held]) == {}
    assert hidden_by([held, block(9, 10, source="operator:ann", basis="operator")]) == {NUMBER: days((9, 10))}
    plain, on_trunk = (pack_digits(NumberKind.E164, "999700000001", trunk) for trunk in (0, 7))
    assert (
        hidden_by([block(3, 5, plain, action="flag", held_back=("hold_out",)), block(1, 2, on_trunk, action="flag")])
        == {}
    )
    assert hidden_by([held, block(1, 2, NUMBERS[1], action="flag")]) == {NUMBERS[1]: days((1, 2))}


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
