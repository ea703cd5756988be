"""Served: what is kept of scored vectors depends on the log alone, and says where it belongs."""

import random

import numpy as np
import pytest
from msgspec.structs import replace

from detector.config import Settings
from detector.errors import Rejected
from detector.ingest.rows import Raw, open_source, pack_message, scatter
from detector.pipeline import Detector, Entry, Part
from detector.records import SCHEMA_ID, Role, Rows
from detector.service.rules import Rules
from detector.verdict.memory import Memory
from detector.verdict.served import DECIDED, SAMPLED, SERVED, Served, pack_served, unpack_served
from tests.service.harness import settings_for, traffic

SIZE = 12_000
ROWS_PER_MESSAGE = 61


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_for(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def mine(settings: Settings) -> Rows:
    """The rows of partition 0."""
    values = traffic(SIZE)
    reader = open_source(settings, settings.sources[0])
    rows = reader.read(Raw(values, [0] * SIZE, range(SIZE), [0] * SIZE)).rows
    return dict(scatter(rows, settings.topics.partitions))[0]


@pytest.fixture(scope="module")
def log(mine: Rows) -> list[Entry]:
    """Its log, in small messages with gaps between offsets."""
    starts = range(0, len(mine), ROWS_PER_MESSAGE)
    headers = [("schema", SCHEMA_ID)]
    return [Entry(3 * n, pack_message(mine[s : s + ROWS_PER_MESSAGE]), headers) for n, s in enumerate(starts)]


def keeping(settings: Settings, every: int | None) -> Detector:
    return Rules.load(replace(settings, detect=replace(settings.detect, vectors_every=every))).detector


def part(detector: Detector, committed: int = 0) -> Part:
    return detector.fresh(0, Memory.rebuild([]), Memory.rebuild([]), committed)


def kept(detector: Detector, log: list[Entry], cuts: list[int], committed: int = 0) -> Served:
    """What is kept of the log, cut there."""
    held = part(detector, committed)
    found = [np.zeros(0, SERVED)]
    for start, stop in zip([0, *cuts], [*cuts, len(log)], strict=True):
        found += detector.process(held, log[start:stop]).served
    return np.concatenate(found)


def drawn(served: Served) -> list[tuple[int, int, bytes]]:
    """Place and vector of those that chance has chosen."""
    some = served[served["why"] & SAMPLED != 0]
    return [(int(one["log_offset"]), int(one["log_index"]), one["vector"].tobytes()) for one in some]


@pytest.mark.parametrize("seed", [1, 2])
def test_batches_do_not_matter(settings: Settings, log: list[Entry], seed: int) -> None:
    """Cut anywhere, the same vectors are kept; of what is only replayed, none."""
    detector = keeping(settings, 20)
    whole = kept(detector, log, [])
    cuts = sorted(random.Random(seed).sample(range(1, len(log)), 25))
    assert kept(detector, log, cuts).tobytes() == whole.tobytes()
    half = log[len(log) // 2].offset
    again = kept(detector, log, [], half)
    later = whole[whole["log_offset"] >= half]
    assert 0 < len(later) < len(whole)
    # What is decided then is another matter: the decisions before it are not known here.
    assert drawn(again) == drawn(later)


def test_one_scored_row_of_so_many_is_drawn(settings: Settings, log: list[Entry]) -> None:
    """Each alike: of `every` 20 about a twentieth; of 1 all; without the setting none, decisions included."""
    every_row = kept(keeping(settings, 1), log, [])
    detector = keeping(settings, 1)
    assert len(every_row) == detector.process(part(detector), log).scored
    some = kept(keeping(settings, 20), log, [])
    wanted = len(every_row) / 20
    assert abs(len(drawn(some)) - wanted) < 4 * wanted**0.5
    assert len(kept(keeping(settings, None), log, [])) == 0


def test_what_is_kept_is_what_was_scored_where_it_says(settings: Settings, log: list[Entry], mine: Rows) -> None:
    """Number, record and vector are those of the row at that place; the margin is the model's of that vector."""
    detector = keeping(settings, 5)
    assert detector.model is not None
    served = kept(detector, log, [])
    rows = mine[served["log_offset"] // 3 * ROWS_PER_MESSAGE + served["log_index"]]
    for name in ("number", "source", "partition", "offset", "role"):
        np.testing.assert_array_equal(served[name], rows[name])
    assert set(served["role"].tolist()) == {Role.FROM}
    np.testing.assert_array_equal(served["margin"], detector.model.margins(np.ascontiguousarray(served["vector"])))
    state = detector.fresh(0, Memory(), Memory()).state
    at = int(served["log_offset"][-1]) // 3 * ROWS_PER_MESSAGE + int(served["log_index"][-1])
    state.update(mine[: at + 1])
    np.testing.assert_array_equal(served["vector"][-1], state.vectors(served["number"][-1:])[0])


def test_the_vector_of_every_decision_is_kept(settings: Settings, log: list[Entry]) -> None:
    """However few are drawn. A rule that needs no vector may decide at a row that has none."""
    detector = keeping(settings, 1 << 40)
    outcome = detector.process(part(detector), log)
    served = np.concatenate(outcome.served)
    assert set(served["why"].tolist()) == {DECIDED}
    places = {tuple(map(int, decision.decision_id.split("-")[1:3])) for decision in outcome.decisions}
    by_model = {tuple(map(int, d.decision_id.split("-")[1:3])) for d in outcome.decisions if d.score}
    found = set(zip(served["log_offset"].tolist(), served["log_index"].tolist(), strict=True))
    assert by_model <= found <= places
    assert len(found) == len(served) > 3


def test_a_message_comes_back_and_another_versions_is_refused(settings: Settings, log: list[Entry]) -> None:
    """Bit for bit; the reason says what was wanted."""
    served = kept(keeping(settings, 50), log, [])
    value, headers = pack_served(served, "mine-1")
    back = unpack_served(value, headers)
    assert isinstance(back, np.ndarray)
    assert back.tobytes() == served.tobytes()
    assert dict(headers)["model"] == b"mine-1"
    for wrong in (
        unpack_served(value[:-1], headers),
        unpack_served(b"", headers),
        unpack_served(value, [(name, b"other" if name == "features" else text) for name, text in headers]),
        unpack_served(value, []),
    ):
        assert isinstance(wrong, Rejected)
        assert "wanted" in wrong.detail
