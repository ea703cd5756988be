"""Drift: bins as their plain meaning has them, an index that meets its laws, rows drawn by the log alone."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detector.errors import SnapshotError
from detector.features.catalogue import INDEX, NAMES
from detector.records import mix64
from detector.verdict import drift as module
from detector.verdict.archive import archive, npy
from detector.verdict.bundle import REFERENCE, read_drift
from detector.verdict.drift import BINS, EVERY, LEAST_SHARE, ROW_BITS, Reference, draw, stability
from detector.verdict.model import Model
from tests.verdict import models
from tests.verdict.naive import bin_of
from tests.verdict.naive import stability as naive_stability

SHARES = (
    st.lists(st.integers(0, 1_000), min_size=BINS + 1, max_size=BINS + 1)
    .filter(any)
    .map(lambda counts: np.array(counts) / sum(counts))
)


def sample(size: int, seed: int, features: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Vectors with ties at 0 and missing values, and their margins."""
    rng = np.random.default_rng(seed)
    vectors = rng.gamma(1.0, 10.0, (size, features))
    vectors[:, 1] = np.maximum(0, vectors[:, 1] - 10)
    vectors[rng.random(vectors.shape) < 0.1] = np.nan
    return vectors, np.nan_to_num(vectors).sum(axis=1) - 30


@given(SHARES, SHARES)
def test_the_index_is_its_formula_and_the_same_both_ways(one: np.ndarray, other: np.ndarray) -> None:
    """Against the plain sum; 0 against itself, and never below."""
    assert naive_stability(one.tolist(), other.tolist()) == pytest.approx(float(stability(one, other)), abs=1e-12)
    assert float(stability(other, one)) == pytest.approx(float(stability(one, other)), abs=1e-12)
    assert float(stability(one, one)) == 0
    assert float(stability(one, other)) >= 0


EDGES = np.sort(np.random.default_rng(3).gamma(1, 10, (4, BINS - 1)).round(), axis=1)


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(0, 9), st.just(4)),
        elements=st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.integers(0, 40).map(float)),
        fill=st.nothing(),
    )
)
def test_counts_are_those_of_the_plain_bins(values: np.ndarray) -> None:
    """Values on an edge, beyond all of them, infinite, unknown; the last column is the margins."""
    weights = np.arange(len(values), dtype=np.float64) + 0.5
    wanted = np.zeros((4, BINS + 1))
    for row, weight in zip(values, weights, strict=True):
        for column, value in enumerate(row):
            wanted[column, bin_of(float(value), EDGES[column].tolist())] += weight
    got = Reference(EDGES, wanted).counts(values[:, :3], values[:, 3].copy(), weights)
    assert np.array_equal(wanted, got)


def test_the_plain_kernels_equal_the_compiled_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines, run by Python."""
    vectors, margins = sample(40, 1, len(NAMES))
    reference = Reference.of(vectors, margins)
    rows = np.arange(40)
    args = (np.nan_to_num(vectors), rows, 7 * rows, rows % 5, rows % 3 > 0)
    compiled = reference.counts(vectors, margins), draw(*args)
    for name in ("add_counts", "draw_rows", "mix"):
        kernel = getattr(module, name)
        monkeypatch.setattr(module, name, getattr(kernel, "py_func", kernel))
    with np.errstate(over="ignore"):
        plain = reference.counts(vectors, margins), draw(*args)
    assert np.array_equal(compiled[0], plain[0])
    assert compiled[1].tolist() == plain[1].tolist()


def test_a_sample_has_not_moved_from_itself() -> None:
    """And one that was shifted has, in the feature that was."""
    vectors, margins = sample(5_000, 1)
    reference = Reference.of(vectors, margins)
    assert reference.stability(reference.counts(vectors, margins)).tolist() == [0.0] * 4
    vectors[:, 2] += 5
    moved = reference.stability(reference.counts(vectors, margins))
    assert moved[2] > 0.25
    assert moved[[0, 1, 3]].tolist() == [0.0] * 3


def test_another_sample_of_the_same_population_is_steady() -> None:
    """What chance does to 1,000 vectors lies far below what asks for a look."""
    reference = Reference.of(*sample(20_000, 1))
    assert reference.stability(reference.counts(*sample(1_000, 2))).max() < 0.05


def test_bins_are_tenths_of_what_is_known() -> None:
    """Where nothing is tied; ties stay in one bin, and what is missing has its own."""
    vectors, margins = sample(20_000, 4)
    reference = Reference.of(vectors, margins)
    known = 1 - np.isnan(vectors).mean(axis=0)
    assert np.allclose(reference.shares[0, :BINS], known[0] / BINS, atol=1e-3)
    assert np.allclose(reference.shares[3, :BINS], 1 / BINS, atol=1e-3)
    zeros = (vectors[:, 1] == 0).mean()
    assert zeros > 0.5
    # The bin of the zeros ends with the tenth that they end in.
    assert zeros <= reference.shares[1, 0] + 1e-12 <= zeros + known[1] / BINS
    assert np.allclose(reference.shares[:3, BINS], 1 - known)
    assert np.allclose(reference.shares.sum(axis=1), 1)


def test_a_weight_of_two_is_two_vectors() -> None:
    """In the edges and in the shares."""
    vectors, margins = sample(300, 5)
    weights = np.where(np.arange(300) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(np.arange(300), weights.astype(int))
    weighted, repeated = Reference.of(vectors, margins, weights), Reference.of(vectors[twice], margins[twice])
    assert np.array_equal(weighted.edges, repeated.edges)
    assert np.allclose(weighted.shares, repeated.shares)


def test_quantiles_stand_in_for_histograms_that_were_not_kept() -> None:
    """Nothing is said of the score, nor of how many values are missing: both are left out of the comparison."""
    vectors, margins = sample(50_000, 6)
    quantiles = np.nanpercentile(vectors, np.arange(101), axis=0)
    quantiles[:, 2] = np.nan
    reference = Reference.from_quantiles(quantiles)
    moved = reference.stability(reference.counts(vectors, margins))
    assert moved[:2].max() < 1e-3
    assert np.isnan(moved[2:]).all()
    vectors[: len(vectors) // 2, 0] = np.nan
    assert reference.stability(reference.counts(vectors, margins))[0] < 1e-3
    vectors[:, 0] *= 2
    assert reference.stability(reference.counts(vectors, margins))[0] > 0.25


def test_a_feature_that_nobody_knew_and_all_know_now_has_moved() -> None:
    """A feed that began to send a field changes what the model sees as much as one that stopped."""
    vectors, margins = sample(2_000, 7)
    blind = vectors.copy()
    blind[:, 0] = np.nan
    reference = Reference.of(blind, margins)
    assert reference.stability(reference.counts(blind, margins))[0] == 0
    assert reference.stability(reference.counts(vectors, margins))[0] > 1
    assert naive_stability([LEAST_SHARE, 1.0], [1.0, LEAST_SHARE]) > 1


def day(events: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of a day's rows, one number after another: the k-th row of each has seen k events; and the owners."""
    owners = np.repeat(np.arange(len(events)), events)
    vectors = np.zeros((len(owners), len(NAMES)))
    vectors[:, INDEX["calls_out_24h"]] = np.concatenate([np.arange(1, n + 1) for n in events]) // 2
    vectors[:, INDEX["sms_out_24h"]] = (np.concatenate([np.arange(1, n + 1) for n in events]) + 1) // 2
    return vectors, owners, np.arange(len(owners))


def test_rows_are_drawn_by_their_place_in_the_log_and_by_nothing_else() -> None:
    """As the plain formula says, however the rows come in batches."""
    vectors, _, rows = day([3, 50, 7, 400] * 20)
    offsets, indices = 1_000 + rows // 100, rows % 100
    everyone = np.ones(len(rows), np.bool_)
    whole = draw(vectors, rows, offsets, indices, everyone)
    u = (mix64((offsets << ROW_BITS) | indices) >> np.uint64(11)).astype(np.float64) / 2**53
    events = vectors[:, INDEX["calls_out_24h"]] + vectors[:, INDEX["sms_out_24h"]]
    assert np.flatnonzero(u < 1 / (EVERY * events)).tolist() == whole.tolist()
    halves = [
        draw(vectors[part], np.arange(len(part)), offsets[part], indices[part], everyone[part]) + part[0]
        for part in np.array_split(rows, 7)
    ]
    assert np.concatenate(halves).tolist() == whole.tolist()


def test_a_number_that_calls_all_day_is_hardly_drawn_more_than_one_that_calls_thrice() -> None:
    """Its rows are as many, and each is drawn as much less often, but for the first few of the day."""
    few, _, of_few = day([3] * 3_000)
    busy = np.zeros((1_000 * 100, len(NAMES)))
    busy[:, INDEX["calls_out_24h"]] = 100
    of_busy = np.arange(len(busy))
    drawn = [
        len(draw(vectors, rows, rows, rows % 8_192, np.ones(len(rows), np.bool_)))
        for vectors, rows in ((few, of_few), (busy, of_busy))
    ]
    assert drawn[0] == pytest.approx(3_000 / EVERY * (1 + 1 / 2 + 1 / 3), rel=0.1)
    assert drawn[1] == pytest.approx(1_000 / EVERY, rel=0.15)


def test_rows_that_are_not_eligible_are_never_drawn() -> None:
    """While windows fill, everybody looks new."""
    vectors, _, rows = day([1] * 400)
    eligible = rows % 2 == 0
    drawn = draw(vectors, rows, rows, rows % 8_192, eligible)
    assert len(drawn) > 10
    assert (drawn % 2 == 0).all()


def test_a_bundle_keeps_its_histograms(tmp_path: Path) -> None:
    """What fit saw is what drift is measured against."""
    estimator = models.fitted(trees=3)
    vectors, _ = models.samples(400)
    reference = Reference.of(vectors, estimator.decision_function(vectors))
    models.save(tmp_path, estimator, drift=reference)
    loaded = Model.load(tmp_path).drift
    assert loaded.edges.tobytes() == reference.edges.tobytes()
    assert loaded.shares.tobytes() == reference.shares.tobytes()


def test_a_bundle_without_histograms_is_compared_by_its_quantiles(model: Model) -> None:
    """One that was written before there were any."""
    assert np.array_equal(model.drift.edges[:-1], model.quantiles[10:100:10].T)
    assert np.isnan(model.drift.shares[-1]).all()


def test_histograms_of_another_shape_are_refused(tmp_path: Path) -> None:
    """They are looked up by feature position."""
    arrays = {"quantiles": np.zeros((101, 60)), "medians": np.zeros(60), "edges": np.zeros((60, 9))}
    arrays["shares"] = np.zeros((61, 11))
    (tmp_path / REFERENCE).write_bytes(archive({f"{name}.npy": npy(array) for name, array in arrays.items()}))
    with pytest.raises(SnapshotError, match=r"reference.npz: edges: wanted f64\[61, 9\] \(got float64\[60, 9\]\)"):
        read_drift(tmp_path)
    with pytest.raises(ValueError, match=r"^edges: wanted f64\[61, 9\]"):
        models.save(tmp_path, models.fitted(trees=2), drift=Reference(arrays["edges"], arrays["shares"]))
