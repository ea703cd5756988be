"""Labels: who a number is, and from when that could be known."""

import numpy as np

from detector.learning.cdr import CALL, HONEST, blank
from detector.learning.labels import FRAUD_ROW, HONEST_ROW, MEMORY_MS, NEITHER, Label, Truth, labels_of


def _label(number: int, begin: int, end: int) -> Label:
    return Label(number, "simbox", "low", "01-simbox-low", begin, end, 1, np.array([begin]))


def test_a_hijacked_number_is_honest_before_fraud_during_and_neither_after() -> None:
    """
    honest ....|FFFF|------ 7 days ------|.... honest
               100  200                  200 + 7 d
    """
    truth = Truth([_label(5, 100, 200)], hijacked=np.array([5], dtype=np.uint64))
    times = np.array([99, 100, 199, 200, 199 + MEMORY_MS, 200 + MEMORY_MS])
    numbers = np.full(len(times), 5, dtype=np.uint64)
    assert truth.of(numbers, times).tolist() == [HONEST_ROW, FRAUD_ROW, FRAUD_ROW, NEITHER, NEITHER, HONEST_ROW]


def test_a_number_bought_for_fraud_is_neither_before_its_first_event() -> None:
    """Nobody honest ever held it, and nothing fraudulent has been done with it."""
    truth = Truth([_label(5, 100, 200)], hijacked=np.array([], dtype=np.uint64))
    assert truth.of(np.array([5, 6], dtype=np.uint64), np.array([50, 50])).tolist() == [NEITHER, HONEST_ROW]


def test_without_labels_everybody_is_honest() -> None:
    """A scenario may have no fraud at all."""
    truth = Truth([], hijacked=np.array([], dtype=np.uint64))
    assert truth.of(np.array([1, 2], dtype=np.uint64), np.array([0, 0])).tolist() == [HONEST_ROW, HONEST_ROW]


def test_a_number_in_two_campaigns_has_two_labels_with_their_own_victims() -> None:
    """Victims are counted apart, each at its first try, and honest records count for nothing."""
    records = blank(6, CALL)
    records["originator"] = 9
    records["recipient"] = [1, 2, 1, 3, 1, 4]
    records["end_ms"] = [10, 20, 30, 40, 50, 60]
    records["campaign"] = [0, 0, 0, 1, 1, HONEST]
    labels = labels_of(records, records["originator"], [("irsf", "overt", "a"), ("smishing", "low", "b")])
    assert [(label.campaign, label.victim_ms.tolist(), label.events) for label in labels] == [
        ("a", [10, 20], 3),
        ("b", [40, 50], 2),
    ]
    assert (labels[0].active_from_ms, labels[0].active_until_ms) == (10, 31)
