"""The catalogue declares the sixty features, and the vector function writes exactly those."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detector.features import catalogue
from detector.features.catalogue import FEATURES, INDEX, NAMES, WINDOWS, columns, feature_hash
from detector.features.past import USUAL, WIDE, blank
from detector.features.vectors import blank_reading, write_usual_vector, write_wide_vector

AGREED = Path(__file__).parents[3] / "shared" / "design" / "FEATURES.md"


def test_there_are_sixty_features_of_different_names() -> None:
    """Names are measure and window, and the index is their order."""
    assert len(FEATURES) == len(set(NAMES)) == 60
    assert [f"{feature.measure}_{feature.window}" for feature in FEATURES] == list(NAMES)
    assert [INDEX[name] for name in NAMES] == list(range(60))


@pytest.mark.skipif(not AGREED.exists(), reason="the design documents lie beside a checkout only")
def test_names_and_order_are_the_agreed_ones() -> None:
    """The table of the design, row by row: measure and windows."""
    rows = re.findall(r"^\| [\d-]+ \| (\w+) \(([^)]*)\)", AGREED.read_text("utf-8"), re.MULTILINE)
    # The ramp is named after its first window: 24h against 7d.
    agreed = [f"{measure}_{window}" for measure, windows in rows for window in windows.split(" against")[0].split(", ")]
    assert agreed == list(NAMES)


def test_the_vector_function_writes_every_feature() -> None:
    """No column keeps what was in it before, and none is written beyond the last."""
    for form, write in ((USUAL, write_usual_vector), (WIDE, write_wide_vector)):
        out = np.full(len(FEATURES) + 1, -1.0)
        write(blank(form)[0], 0, blank_reading(), out)
        assert [name for name, value in zip(NAMES, out[:-1], strict=True) if value == -1.0] == []
        assert out[-1] == -1.0


@pytest.mark.parametrize("feature", FEATURES, ids=NAMES)
def test_every_feature_can_be_read_by_an_analyst(feature: catalogue.Feature) -> None:
    """A sentence that says the window in words, a unit, and the fraud it points at."""
    assert re.fullmatch(r"[A-Z].*\.", feature.meaning)
    assert WINDOWS[feature.window] in feature.meaning
    assert feature.unit
    assert feature.formula
    assert feature.points_at


def test_a_feature_that_is_not_declared_has_no_column() -> None:
    """The kernels cannot name one."""
    assert columns("out_share", "24h 7d") == (INDEX["out_share_24h"], INDEX["out_share_7d"])
    with pytest.raises(KeyError, match="calls_out_3h"):
        columns("calls_out", "3h")


def test_the_hash_follows_meaning_and_not_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is refused when a formula or the order changes, not when a sentence is put better."""
    shipped = feature_hash()
    first, second, *rest = FEATURES
    monkeypatch.setattr(catalogue, "FEATURES", (replace(first, meaning="Calls."), second, *rest))
    assert feature_hash() == shipped
    monkeypatch.setattr(catalogue, "FEATURES", (replace(first, formula="began_o"), second, *rest))
    assert feature_hash() != shipped
    monkeypatch.setattr(catalogue, "FEATURES", (second, first, *rest))
    assert feature_hash() != shipped
