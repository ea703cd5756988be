"""What a soak calls flat, and back: worked out from samples and probes."""

import math

import pytest

from loadtest.balance import Balance
from loadtest.load import Written
from loadtest.soak import Kill, Sample, Soak, spans, table
from loadtest.timeline import Seen
from loadtest.vitals import Vitals

MB = 1_000_000


def soak(**changes: object) -> Soak:
    """Twenty minutes in which nothing grows; one process of detect holds more in each life."""
    made = Soak(20.0, 1_000, 0.1, 300.0, Written(0, 1_000, 2_000, 0, 0.1, 1_000.0))
    made.balance = Balance(1_000, 2_000, 0, 0)
    for at_s in range(0, 1_200, 5):
        made.samples.append(Sample(at_s, "ingest", 0, Vitals(60 * MB, 25, 15)))
        made.samples.append(Sample(at_s, "detect", 0, Vitals(300 * MB, 25, 15)))
        made.samples.append(Sample(at_s, "detect", 1, Vitals((280 + at_s // 20) * MB, 25, 15)))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_a_run_in_which_nothing_grows_meets_every_criterion() -> None:
    """The memory of those that are killed is that of the backlogs they met."""
    assert soak().unmet() == []
    assert "every criterion is met" in table(soak())


@pytest.mark.parametrize("held", [Vitals(60 * MB, 34, 15), Vitals(60 * MB, 25, 24)])
def test_handles_and_threads_of_those_that_are_killed_count_too(held: Vitals) -> None:
    """Each life opens its own, and must close no fewer."""
    made = soak()
    made.samples.append(Sample(1_100.0, "detect", 1, held))
    assert len(made.unmet()) == 1


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (Vitals(307 * MB, 25, 15), "detect: memory beyond state grew from 300 to 307 MB"),
        (Vitals(300 * MB, 34, 15), "detect: handles grew from 25 to 34"),
        (Vitals(300 * MB, 25, 24), "detect: threads grew from 15 to 24"),
    ],
)
def test_one_process_that_holds_more_afterwards_is_growth(held: Vitals, words: str) -> None:
    """2 % of memory is 306 MB, and eight handles and threads more are connections."""
    made = soak()
    assert made.unmet() == []
    made.samples.append(Sample(1_100.0, "detect", 0, held))
    assert [sentence.startswith(words) for sentence in made.unmet()] == [True]


def test_memory_that_went_into_the_state_is_no_growth() -> None:
    """Numbers that become usual ones hold more; what is held beside them must not grow."""
    made = soak()
    made.samples.append(Sample(1_100.0, "detect", 0, Vitals(330 * MB, 25, 15), state_bytes=30 * MB))
    assert made.unmet() == []
    assert "| detect | its state, MB | 0 | 30 | +30 |" in table(made)


def test_memory_that_the_state_has_let_go_of_is_no_growth() -> None:
    """Decisions that are forgotten leave their memory to Python: only what grows beyond the most state is held."""
    made = soak()
    made.samples.append(Sample(900.0, "detect", 0, Vitals(330 * MB, 25, 15), state_bytes=30 * MB))
    made.samples.append(Sample(1_000.0, "detect", 0, Vitals(330 * MB, 25, 15), state_bytes=20 * MB))
    assert made.unmet() == []
    made.samples.append(Sample(1_100.0, "detect", 0, Vitals(340 * MB, 25, 15), state_bytes=20 * MB))
    assert [sentence.startswith("detect: memory") for sentence in made.unmet()] == [True]


def test_a_role_without_samples_after_the_settling_time_is_not_flat() -> None:
    """Nothing shows that it was."""
    made = soak()
    made.samples = [one for one in made.samples if one.role == "ingest" or one.at_s < 300]
    assert any(sentence.startswith("detect: memory") for sentence in made.unmet())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("kills", [Kill(60.0, "detect-0", 9.9), Kill(120.0, "detect-1", 10.1)], "kill of detect-1 at 120 s"),
        ("kills", [Kill(60.0, "detect-0", math.inf)], "kill of detect-0 at 60 s"),
        ("written", Written(0, 1_000, 2_000, 0, 9.0, 900.0), "the generator wrote 900 records/s"),
        ("balance", Balance(1_000, 1_998, 0, 1), "rows: wanted 2,000 (got 1,998)"),
        ("unbalanced", 1, "1 probes without a decision"),
    ],
)
def test_each_criterion_is_said_that_is_not_met(name: str, value: object, words: str) -> None:
    """By name and figure."""
    assert words in "\n".join(soak(**{name: value}).unmet())


def test_latency_is_told_for_spans_of_ten_seconds() -> None:
    """A hundred probes in the first, one of them late; one in the third, none in the second; none of before the run."""
    seen = [Seen(0, 100.0 + 0.05 * i, 100.0 + 0.05 * i + 0.03) for i in range(99)]
    seen += [Seen(0, 105.0, 107.0), Seen(1, 121.0, 121.5), Seen(0, 99.0, 150.0)]
    told = spans(seen, 100.0)
    assert told == [(0.0, pytest.approx(0.03), pytest.approx(0.03)), (20.0, 0.5, 0.5)]
