"""The fuzz: it finds what it must find, and what comes in today breaks no law."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from detector.errors import Fatal, Reason, Rejected
from detector.ingest.rows import Ingested, Raw, RejectedRecord
from loadtest import fuzz
from loadtest.__main__ import main
from loadtest.fuzz import Report, run
from loadtest.laws import broken_by, broken_rows
from loadtest.mutations import Mutator
from loadtest.subjects import Records, Subject, Taken, _raw, subjects

INPUTS = 20_000


@pytest.fixture(scope="module")
def report() -> Report:
    return run(INPUTS, seed=20261124)


def test_nothing_but_rows_and_rejections_comes_out(report: Report) -> None:
    """Every mapping and codec, commands and internal messages: each takes its share, and gives both."""
    assert sum(tally.inputs for tally in report.tallies.values()) == INPUTS
    for name, tally in report.tallies.items():
        assert tally.inputs >= 1_000, name
        assert tally.rows > 0, name
        assert tally.rejected.total() > 0, name
    seen = {reason for tally in report.tallies.values() for reason in tally.rejected}
    assert {reason.value for reason in Reason} - seen <= {"future", "too_large"}
    assert report.unmet() == []


def test_equal_seeds_try_equal_messages() -> None:
    """What was found is found again."""
    first, second = (run(2_000, seed=5).tallies for _ in range(2))
    assert first == second
    assert run(2_000, seed=6).tallies != first


class Guilty:
    """A subject that one message of many breaks, by an exception or by a law."""

    name = "guilty"

    def __init__(self, how: str) -> None:
        self.corpus = [b"fine"]
        self._how = how
        self._tried = 0

    def mutated(self, mutator: Mutator) -> bytes:
        self._tried += 1
        return b"poison" if self._tried == 700 else b"fine"

    def take(self, values: Sequence[bytes]) -> Taken:
        if b"poison" not in values:
            return Taken()
        if self._how == "raises":
            raise ZeroDivisionError("by nothing")
        return Taken(broken=["a row too many"])


@pytest.mark.parametrize(("how", "said"), [("raises", "ZeroDivisionError"), ("breaks", "a row too many")])
def test_the_message_that_breaks_a_law_is_shown(how: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of its batch of 500, with the seed that makes it again."""
    found: list[Subject] = [Guilty(how)]
    monkeypatch.setattr(fuzz, "subjects", lambda: found)
    with pytest.raises(Fatal, match=rf"guilty, seed 9: b'poison'.*{said}"):
        run(2_000, seed=9)


def test_memory_that_grows_is_an_error() -> None:
    """Its bound is part of the run: the table says it."""
    report = Report(1, {}, 1.0, 100 << 20, 500 << 20)
    assert report.unmet() == ["memory grew by 400 MB: wanted at most 256 MB"]
    assert report.unmet()[0] in report.table()


def test_the_figures_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every load test's: the same numbers as in the table."""
    path = tmp_path / "fuzz.json"
    monkeypatch.setattr(sys, "argv", ["loadtest", "fuzz", "--inputs", "1000", "--json", str(path)])
    assert main() == 0
    figures = json.loads(path.read_text(encoding="utf-8"))
    assert sum(tally["inputs"] for tally in figures["tallies"].values()) == 1_000
    name, first = next((name, tally) for name, tally in figures["tallies"].items() if tally["inputs"])
    assert first["outcomes"] > 0
    cells = [first["inputs"], first["rows"], first["skipped"], sum(first["rejected"].values()), first["outcomes"]]
    assert f"| {name} | {' | '.join(f'{cell:,}' for cell in cells)} |" in capsys.readouterr().out


@pytest.fixture(scope="module")
def good() -> tuple[Ingested, Raw]:
    """The examples of the plain form, read."""
    plain = next(subject for subject in subjects() if subject.name == "plain")
    assert isinstance(plain, Records)
    raw = _raw(plain.corpus, 0)
    return plain.reader.read(raw), raw


def test_good_messages_break_no_law(good: tuple[Ingested, Raw]) -> None:
    """Else the laws would be wrong."""
    assert list(broken_by(*good, one_each=True)) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("event_ms", 17), ("number", 0), ("number", 9 << 60), ("other", 1), ("kind", 9), ("role", 2), ("trunk", 1024)],
)
def test_a_row_that_cannot_be_breaks_a_law(good: tuple[Ingested, Raw], field: str, value: int) -> None:
    """Each field is looked at."""
    rows = good[0].rows.copy()
    rows[field][1] = value
    with pytest.raises((AssertionError, ValueError)):  # a number that cannot be written raises
        assert list(broken_rows(rows)) == []


def test_rows_that_are_lost_or_doubled_break_a_law(good: tuple[Ingested, Raw]) -> None:
    """Rows and rejections add up to the records that came in."""
    got, raw = good
    for rows in (got.rows[2:], np.concatenate([got.rows, got.rows]), got.rows[:0]):
        changed = Ingested(rows, got.names, got.rejected, got.records, got.skipped)
        assert list(broken_by(changed, raw, one_each=True))
    both = [RejectedRecord(0, Rejected(Reason.EMPTY, "wanted a record"))]
    changed = Ingested(got.rows, got.names, both, got.records + 1, got.skipped)
    assert list(broken_by(changed, raw, one_each=True))
