"""Labels: who a number is, and from when that could be known."""

from detector.learning.cdr import CALL, HONEST, blank
from detector.learning.labels import labels_of


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
