"""Evaluation: a number counts once, delays run from its first fraudulent event, the wronged are named."""

from collections import Counter

import numpy as np

from detector.learning.evaluation import Case, Group, Report, pooled
from detector.learning.labels import Label


def _case(begin: int, victims: list[int], flagged: int | None) -> Case:
    label = Label(7, "smishing", "low", "01-smishing-low", begin, begin + 100_000, len(victims), np.array(victims))
    return Case(label, {"watch": begin, "flag": flagged, "block": None})


CAUGHT = Group("smishing-low", [_case(1_000, [1_000, 2_000, 9_000], 5_000), _case(0, [0], None)])
WRONGED = {"watch": Counter({"courier": 2}), "flag": Counter({"courier": 1}), "block": Counter[str]()}


def test_delay_is_from_the_first_fraudulent_event_in_seconds_and_distinct_victims() -> None:
    """
    fraud      x    x    |    x        flagged at |, four seconds in, after two victims
           1,000  2,000  5,000  9,000
    """
    assert CAUGHT.delays_s() == [4.0]
    assert CAUGHT.victims() == [2]
    assert [CAUGHT.caught(level) for level in ("watch", "flag", "block")] == [2, 1, 0]


def test_metrics_are_shares_and_a_kind_never_caught_has_no_delay() -> None:
    """A missing delay is left out: nought seconds would be praise."""
    never = Group("irsf-low", [_case(0, [0], None)])
    metrics = Report([CAUGHT, never], 1_000, WRONGED).metrics()
    assert metrics["recall_flag_smishing-low"] == 0.5
    assert metrics["delay_s_smishing-low"] == 4.0
    assert metrics["honest_share_watch"] == 0.002
    assert "delay_s_irsf-low" not in metrics


def test_pooled_reports_add_numbers_and_keep_groups_together() -> None:
    """Two scenarios, one table."""
    report = Report([CAUGHT], 1_000, WRONGED)
    both = pooled([report, report])
    assert [len(group.cases) for group in both.groups] == [4]
    assert both.honest_number_days == 2_000
    assert both.wronged["watch"] == Counter({"courier": 4})
    assert "| smishing-low | 4 | 100% | 50% | 0% | 4 | 2 |" in both.lines()
