"""The generator: who is seen how often, and that both of its forms say the same."""

from pathlib import Path

import numpy as np
import pytest

from detector.config import Settings, load
from detector.ingest.rows import Raw, open_source
from detector.records import ROW
from detector.units import DAY_MS
from loadtest import packed, stencil
from loadtest.configuration import configure
from loadtest.history import FIRST_MONDAY_MS
from loadtest.population import BUSY_A_DAY, FIRST_DIGITS, QUIET_A_DAY, Population


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """As the load tests configure the roles."""
    return load(configure(tmp_path, "127.0.0.1:1", "test"), {})


def test_a_fifth_are_seen_eleven_times_a_day_and_the_rest_five_times_a_week() -> None:
    """Over twenty days, both sides of a record counted. Hardly any of the rest is seen more than ten times a week."""
    population = Population(5_000, seed=3)
    drawn = population.draw(0, 20 * population.records_a_day)
    seen = np.bincount(np.concatenate([drawn.originator, drawn.recipient]) - FIRST_DIGITS, minlength=5_000) / 20
    assert seen[:1_000].mean() == pytest.approx(BUSY_A_DAY, rel=0.02)
    assert seen[1_000:].mean() == pytest.approx(QUIET_A_DAY, rel=0.05)
    assert np.count_nonzero(7 * seen[1_000:] > 10) < 40


def test_event_time_runs_as_fast_as_records_are_drawn() -> None:
    """A day's records take a day, and a later draw goes on where an earlier one ended."""
    population = Population(2_000)
    first = population.draw(0, population.records_a_day)
    then = population.draw(population.records_a_day, 10)
    assert first.event_ms[0] == FIRST_MONDAY_MS
    assert then.event_ms[0] == FIRST_MONDAY_MS + DAY_MS
    assert (np.diff(first.event_ms) >= 0).all()


def test_a_number_keeps_to_a_few_contacts() -> None:
    """Else everybody would look like a robocaller."""
    population = Population(1_000, seed=5)
    drawn = population.draw(0, 60_000)
    one = drawn.recipient[drawn.originator == FIRST_DIGITS]
    _, counts = np.unique(one, return_counts=True)
    assert len(one) > 100
    assert np.sort(counts)[-10:].sum() > 0.7 * len(one)
    assert not (drawn.originator == drawn.recipient).any()


def test_the_same_seed_and_place_give_the_same_records() -> None:
    """Other seeds and places give others."""
    one, again, other = (Population(500, seed).draw(100, 50) for seed in (1, 1, 2))
    assert np.array_equal(one.originator, again.originator)
    assert not np.array_equal(one.originator, other.originator)
    assert not np.array_equal(one.originator, Population(500, 1).draw(150, 50).originator)


def test_a_census_meets_everybody_once() -> None:
    """As originators."""
    drawn = Population(300).census(0, range(100, 300))
    assert drawn.originator.tolist() == list(range(FIRST_DIGITS + 100, FIRST_DIGITS + 300))


def test_lines_and_rows_of_the_same_records_say_the_same(settings: Settings) -> None:
    """Ingest makes of the lines what is published in their place; only hashes and the source differ."""
    drawn = Population(1_000).draw(0, 2 * stencil.BROKEN_EVERY)
    lines = stencil.lines(drawn)
    count = len(lines)
    ingested = open_source(settings, settings.sources[0]).read(Raw(lines, [0] * count, range(count), [0] * count))
    broken = stencil.are_broken(drawn)
    assert [one.index for one in ingested.rejected] == np.flatnonzero(broken).tolist()
    assert broken.sum() == 2
    expected = packed.rows(drawn)[np.repeat(~broken, 2)]
    for field in set(ROW.names or ()) - {"device", "cell", "record_id", "source"}:
        assert np.array_equal(expected[field], ingested.rows[field]), field
    for field in ("device", "cell"):
        assert np.array_equal(expected[field] == 0, ingested.rows[field] == 0), field
    assert len(np.unique(ingested.rows["record_id"])) == len(ingested.rows) // 2
