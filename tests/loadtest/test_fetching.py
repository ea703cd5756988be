"""What a setting is worth: a reading over those on either side of it, and every setting one that we pin."""

from pathlib import Path

import pytest

from detector.broker.options import FETCH
from loadtest.fetching import OTHERS, Instead, measure, table
from loadtest.limit import Limit


def test_a_reading_is_held_against_those_around_it_and_the_median_round_counts() -> None:
    """A machine that slows down between them makes no difference; neither does one bad round."""
    shipped, slower = Limit(100.0, 4.0, 10), Limit(80.0, 6.0, 30)
    rounds = [
        (shipped, Limit(45.0, 10.0, 40), slower),
        (shipped, Limit(1.0, 99.0, 99), slower),
        (shipped, Limit(90.0, 5.0, 20), slower),
    ]
    one = Instead.of("check.crcs", False, rounds)
    assert (one.pinned, one.other) == (True, False)
    assert (one.rate, one.cpu, one.peak) == (0.5, 2.0, 2.0)
    assert "| `check.crcs` | True | False | 0.50 | 2.00 | 2.00 |" in table([one])


def test_only_settings_that_are_pinned_are_compared_and_each_with_something_else() -> None:
    """Else a line of the table would say nothing."""
    assert [(name, value) for name, value in OTHERS if FETCH[name] == value] == []


@pytest.mark.kafka
@pytest.mark.slow
def test_every_other_value_is_read_on_a_real_broker(tmp_path: Path) -> None:
    """One small round: all records come, with each."""
    measured = measure(numbers=600, rounds=1, folder=tmp_path)
    assert [(one.name, one.other) for one in measured] == list(OTHERS)
    assert all(one.rate > 0 and one.cpu > 0 and one.peak > 0 for one in measured)
