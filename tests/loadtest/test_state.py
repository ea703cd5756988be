"""What the load test of the state tells is what was put in."""

from dataclasses import replace

import pytest

from loadtest import state


def test_every_number_is_counted_once_in_its_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """The census alone: each number has called once and been called now and then, so that most are quiet."""
    monkeypatch.setattr(state, "STEP", 500)
    monkeypatch.setattr(state, "TIMED_STEPS", 2)
    measured = state.measure(3_000, days=0.0)
    assert measured.rows == 2 * (3_000 + 2 * 500)
    assert sum(measured.forms.values()) == 3_000
    assert measured.forms["quiet"] > 2_500
    assert 192 < measured.bytes_a_number < 1_536
    assert 0 < measured.scored <= 0.5
    assert measured.form_bytes["quiet"] >= 192 * measured.forms["quiet"]
    assert measured.total_bytes == measured.index_bytes + sum(measured.form_bytes.values()) + measured.buffer_bytes
    assert measured.buffer_bytes >= max(measured.form_bytes.values()) // state.PARTITIONS
    slower = replace(measured, counted_ns=2 * measured.counted_ns, scored_ns=8 * measured.scored_ns)
    (first, second) = state.table([measured, slower]).splitlines()[2:]
    for line in (first, second):
        assert line.startswith(f"| 3,000 | 0 M | {measured.forms['quiet']:,}, 0.001 |")
    assert first.count("| 100% |") == 2
    assert (second.count("| 50% |"), second.count("| 12% |")) == (1, 1)
