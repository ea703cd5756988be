"""Trees as a file: what is dumped comes back, and nothing that is not trees does."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from detector.errors import SnapshotError
from detector.verdict.archive import archive, npy
from detector.verdict.nodes import DEEPEST, NODE, Nodes, take_nodes
from detector.verdict.trees import flatten
from tests.verdict import models

ESTIMATOR = models.fitted(trees=4, leaves=7)


def nodes_of() -> Nodes:
    nodes = take_nodes(ESTIMATOR)
    assert nodes is not None
    return nodes


def test_what_is_dumped_comes_back() -> None:
    """The same arrays, the same bytes, the same margins."""
    loaded = Nodes.load(nodes_of().dump(), "here")
    assert loaded.dump() == nodes_of().dump()
    vectors, _ = models.samples(50)
    assert (flatten(loaded).margins(vectors) == ESTIMATOR.decision_function(vectors)).all()


@pytest.mark.parametrize(
    "data", [b"", b"noise", archive({"nodes.npy": b"x"}), archive({"nodes.npy": npy(np.zeros(1))})]
)
def test_what_is_no_such_file_is_refused(data: bytes) -> None:
    """Noise, and archives of something else."""
    with pytest.raises(SnapshotError, match="here: wanted arrays `nodes`, `roots`, `baseline`, `features`"):
        Nodes.load(data, "here")


def test_pickled_objects_are_refused() -> None:
    """A file of a model is data from elsewhere: nothing in it is ever run. Everything else in this one is right."""
    nodes, pickled = nodes_of(), io.BytesIO()
    np.save(pickled, nodes.nodes.astype(object), allow_pickle=True)
    arrays = {"roots": nodes.roots, "baseline": np.asarray(nodes.baseline), "features": np.asarray(nodes.features)}
    entries = {f"{name}.npy": npy(array) for name, array in arrays.items()}
    with pytest.raises(SnapshotError, match=r"here: wanted arrays .*Object arrays cannot be loaded"):
        Nodes.load(archive({"nodes.npy": pickled.getvalue(), **entries}), "here")


def _set(field: str, value: float, at: int = 0) -> Callable[[Nodes], Nodes]:
    def change(nodes: Nodes) -> Nodes:
        changed = nodes.nodes.copy()
        changed[field][at] = value
        return replace(nodes, nodes=changed)

    return change


def chain(splits: int) -> Nodes:
    """One tree of so many splits, each the right child of the one before."""
    nodes = np.zeros(2 * splits + 1, NODE)
    at = np.arange(splits)
    nodes["left"][2 * at], nodes["right"][2 * at] = 2 * at + 1, 2 * at + 2
    nodes["leaf"] = True
    nodes["leaf"][2 * at] = False
    return Nodes(nodes, np.array([0, len(nodes)], np.int64), 0.0, 60)


def shared() -> Nodes:
    """Both sides of a split lead to one node: such a tree of a few nodes has any number of leaves."""
    nodes = chain(2).nodes
    nodes["left"][0] = 2
    return Nodes(nodes, np.array([0, len(nodes)], np.int64), 0.0, 60)


def test_a_tree_as_deep_as_may_be_is_scored() -> None:
    """Every leaf but the last is reached."""
    deep = Nodes.load(chain(DEEPEST - 1).dump(), "here")
    assert (flatten(deep).margins(np.zeros((1, 60))) == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: chain(DEEPEST + 1), r"nodes\[\d+\]: wanted at most 500 nodes above it"),
        (lambda _: shared(), r"nodes\[1\]: wanted one parent \(got 0\)"),
        (_set("left", 0), r"nodes\[0\]: wanted two children behind it"),
        (_set("right", -1), r"nodes\[0\]: wanted two children behind it"),
        (_set("right", 13), r"nodes\[0\]: wanted two children behind it"),
        (_set("feature", 60), r"nodes\[0\]: .* and a feature below 60"),
        (_set("feature", -1), r"nodes\[0\]: .* and a feature below 60"),
        (_set("threshold", float("nan")), r"nodes\[0\]: wanted"),
        (lambda nodes: replace(nodes, roots=nodes.roots[:-1]), "roots: wanted rising i64 from 0 to"),
        (lambda nodes: replace(nodes, roots=nodes.roots[1:]), "roots: wanted rising i64 from 0 to"),
        (lambda nodes: replace(nodes, roots=nodes.roots.astype(np.int32)), "roots: wanted rising i64 from 0 to"),
        (lambda nodes: replace(nodes, roots=nodes.roots[[0, 0, *range(1, len(nodes.roots))]]), "roots: wanted rising"),
        (lambda nodes: replace(nodes, nodes=nodes.nodes["value"].copy()), "nodes: wanted one dimension of"),
    ],
)
def test_what_is_not_trees_is_refused(change: Callable[[Nodes], Nodes], message: str) -> None:
    """A walk that would leave its tree, or never end; a kernel would read wild memory."""
    with pytest.raises(SnapshotError, match=f"here: {message}"):
        Nodes.load(change(nodes_of()).dump(), "here")
