"""What the load test of a mass release says of its figures."""

import pytest

from loadtest.release import BOUND_S, Measured, table


@pytest.mark.parametrize(
    ("numbers", "release_s", "again", "unmet"),
    [
        (100_000, BOUND_S, 0, []),
        (100_000, BOUND_S + 1, 0, ["100,000 numbers were released in 61.0 s (bound 60 s)"]),
        (2_000, BOUND_S + 1, 0, ["2,000 numbers were released in 61.0 s (bound 60 s)"]),
        (200_000, 2 * BOUND_S, 0, []),
        (100_000, 1.0, 3, ["3 decisions were still in force afterwards"]),
        (100_000, 1.0, -1, ["-1 decisions were still in force afterwards"]),
    ],
)
def test_what_is_beyond_its_bound_is_said(numbers: int, release_s: float, again: int, unmet: list[str]) -> None:
    """Too long, or not whole; -1 where the count could not be read."""
    measured = Measured(numbers=numbers, kill_s=2.0, count_s=3.0, release_s=release_s, again=again)
    assert measured.unmet() == unmet
    assert all(sentence in table(measured) for sentence in unmet)
    assert ("every bound is kept" in table(measured)) == (not unmet)
