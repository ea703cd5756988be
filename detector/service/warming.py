"""Warming: every kernel that detect calls is there before its worker joins the group.

    rows, a tree and a reference that are nobody's -> warm_up -> kernels compiled, or loaded from the cache

Where none is cached, as after an upgrade, compiling takes the better part of a minute. Under a first row that would be
a minute in which the worker's partitions stand still; until it joins, those that are there keep them. No file is
read: a bundle may take its time, and is loaded when the worker has its place.
"""

from typing import Final

import numpy as np

from detector.config import Settings
from detector.features.catalogue import FEATURES
from detector.ingest.zones import ZoneTable
from detector.pipeline import Detector, Entry, Part
from detector.records import ROW, SCHEMA_ID, Flag, Kind, NumberKind, Rows, pack_digits
from detector.verdict.contributions import Boxes
from detector.verdict.drift import Reference, draw
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory
from detector.verdict.nodes import NODE, Nodes
from detector.verdict.policy import Policy, PolicyText
from detector.verdict.trees import flatten

SIZES: Final = (1, 2)
"""Rows of a batch. The columns of one row alone count as contiguous: numba compiles for them anew."""
AT_MS: Final = 1_800_000_000_000
"""When they happen: any time will do."""


def warm_up(settings: Settings) -> None:
    """What rows, a restored snapshot, a score, its reasons and a question call has been called.

    0.5 s of processor time where everything is cached, of which loading a model takes 0.35 less afterwards.
    """
    policy = Policy(PolicyText(name="warming", rules=()), "warming", (), {}, "warming")
    detector = Detector(settings, Judge(policy, None, ZoneTable({}), settings), None)
    fresh = detector.fresh(0, Memory(), Memory())
    restored = Part.restore(0, fresh.arrays(), Memory(), Memory(), 0)
    for part in (fresh, restored):
        for size in SIZES:
            detector.process(part, [Entry(0, _calls(size).tobytes(), [("schema", SCHEMA_ID)])])
    numbers = np.array(_calls(1)["number"])
    vectors = fresh.state.vectors(numbers)
    fresh.state.own_blocks(numbers)
    tree = _tree()
    margins = flatten(tree).margins(vectors)
    Boxes.of(tree, vectors[0]).contributions(vectors[0])
    Reference.of(vectors, margins).counts(vectors, margins)
    first = np.zeros(1, np.int64)
    draw(vectors, first, first, first, np.ones(1, np.bool_))


def _calls(size: int) -> Rows:
    """Rows of as many callers, none of whom can be a subscriber: two digits are too few."""
    rows = np.zeros(size, ROW)
    rows["number"] = [pack_digits(NumberKind.E164, f"{10 + i}") for i in range(size)]
    rows["kind"], rows["flags"], rows["event_ms"] = Kind.CALL, Flag.BEGAN, AT_MS
    return rows


def _tree() -> Nodes:
    """One split, two leaves."""
    nodes = np.zeros(3, NODE)
    nodes["left"][0], nodes["right"][0], nodes["leaf"][1:] = 1, 2, True
    return Nodes(nodes, np.array([0, 3]), 0.0, len(FEATURES))
