"""The core's law: what comes out depends on the log alone."""

import gc
import math
import random
from pathlib import Path

import numpy as np
import orjson
import pytest
import yaml
from msgspec.structs import replace

from detector.config import Settings
from detector.ingest.rows import Raw, open_source, pack_message, scatter
from detector.pipeline import SHOWN, Entry, Part
from detector.records import BEAT_ID, ROW, SCHEMA_ID, Arrays, Flag, Kind, NumberKind, pack_digits, pack_sender
from detector.service.rules import Rules
from detector.verdict.memory import Memory
from tests.service.harness import settings_for, traffic

SIZE = 12_000
ROWS_PER_MESSAGE = 61
START_MS = 1_794_000_000_000


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_for(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def log(settings: Settings) -> list[Entry]:
    """The internal log of one partition, in small messages with gaps between offsets."""
    values = traffic(SIZE)
    reader = open_source(settings, settings.sources[0])
    rows = reader.read(Raw(values, [0] * SIZE, range(SIZE), [0] * SIZE)).rows
    mine = dict(scatter(rows, settings.topics.partitions))[0]
    starts = range(0, len(mine), ROWS_PER_MESSAGE)
    headers = [("schema", SCHEMA_ID)]
    return [Entry(3 * n, pack_message(mine[s : s + ROWS_PER_MESSAGE]), headers) for n, s in enumerate(starts)]


def fresh(settings: Settings) -> Part:
    return Rules.load(settings).detector.fresh(0, Memory.rebuild([]), Memory.rebuild([]))


def assert_same_bytes(got: Arrays, expected: Arrays) -> None:
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        assert got[name].dtype == array.dtype, name
        np.testing.assert_array_equal(got[name], array, err_msg=name)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_batches_do_not_matter(settings: Settings, log: list[Entry], seed: int) -> None:
    """Cut anywhere, the log gives the same decisions, byte for byte, and the same state."""
    detector = Rules.load(settings).detector
    whole, parts = fresh(settings), fresh(settings)
    expected = [decision.to_json() for decision in detector.process(whole, log).decisions]
    chance = random.Random(seed)
    got: list[bytes] = []
    start = 0
    while start < len(log):
        end = start + chance.choice((1, 2, 7, 40))
        got += [decision.to_json() for decision in detector.process(parts, log[start:end]).decisions]
        start = end
    assert got == expected
    assert expected
    assert_same_bytes(parts.arrays(), whole.arrays())


def test_heartbeats_change_nothing_but_are_told(settings: Settings, log: list[Entry]) -> None:
    """Among the rows they leave state and decisions as they would be."""
    detector = Rules.load(settings).detector
    whole, beaten = fresh(settings), fresh(settings)
    expected = detector.process(whole, log)
    beats = [Entry(entry.offset + 1, b"", [("schema", BEAT_ID), ("beat", b"%d" % entry.offset)]) for entry in log[::7]]
    got = detector.process(beaten, sorted([*log, *beats], key=lambda entry: entry.offset))
    assert [decision.to_json() for decision in got.decisions] == [one.to_json() for one in expected.decisions]
    assert (got.statuses, got.rejected) == (expected.statuses, [])
    assert got.beats == [entry.offset for entry in log[::7]]
    assert_same_bytes(beaten.arrays(), whole.arrays())


def test_a_few_margins_of_a_chunk_are_shown(settings: Settings, log: list[Entry]) -> None:
    """However many rows were scored, and some wherever one was."""
    detector = Rules.load(settings).detector
    part = fresh(settings)
    for start in range(0, len(log), 40):
        outcome = detector.process(part, log[start : start + 40])
        assert min(1, outcome.scored) <= len(outcome.margins) <= min(SHOWN, outcome.scored)
        assert all(math.isfinite(margin) for margin in outcome.margins)


def test_what_is_drawn_for_drift_depends_on_the_log_alone(settings: Settings, log: list[Entry]) -> None:
    """Counts of any batches add up to those of the whole; what is only replayed is not drawn."""
    detector = Rules.load(settings).detector
    whole = detector.process(fresh(settings), log).drawn
    part = fresh(settings)
    drawn = [detector.process(part, log[start : start + 7]).drawn for start in range(0, len(log), 7)]
    assert whole is not None
    assert whole[-1].sum() > 10
    np.testing.assert_array_equal(whole, np.sum([counts for counts in drawn if counts is not None], axis=0))
    again = fresh(settings)
    again.committed = log[-1].offset + 1
    assert detector.process(again, log).drawn is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_snapshot_and_the_rest_of_the_log_give_the_whole(settings: Settings, log: list[Entry], share: float) -> None:
    """Saved at s, taken again with decisions up to c known, the partition ends where an undisturbed one does.

    0 ........ s ............ c ............ end
      state only, no decisions |  decisions
    """
    detector = Rules.load(settings).detector
    whole = fresh(settings)
    expected = detector.process(whole, log).decisions
    s = int(len(log) * share)
    c = s + (len(log) - s) // 2
    first = fresh(settings)
    detector.process(first, log[:s])
    saved = {name: array.copy() for name, array in first.arrays().items()}
    before = [d for d in expected if int(d.decision_id.split("-")[1]) < log[c].offset]
    memory = Memory.rebuild((decision.key().encode(), decision.to_json()) for decision in before)
    again = Part.restore(0, saved, memory, Memory.rebuild([]), committed=log[c].offset)
    decided = detector.process(again, log[s:]).decisions
    assert [d.to_json() for d in before + decided] == [d.to_json() for d in expected]
    assert_same_bytes(again.arrays(), whole.arrays())


def test_no_vector_is_taken_below_the_committed_offset(settings: Settings, log: list[Entry], tmp_path: Path) -> None:
    """Replay costs state only: nothing is scored, nothing decided."""
    part = fresh(settings)
    part.committed = log[-1].offset + 1
    outcome = Rules.load(settings).detector.process(part, log)
    assert outcome.scored == 0
    assert outcome.decisions == []
    assert len(part.state) > 0


def test_no_batch_leaves_a_cycle_behind(settings: Settings) -> None:
    """Records become rows and decisions, and nothing is left that only Python's collector would find.

    It works between steps, and seldom: what waits for it would add up.
    """
    detector, part, values = Rules.load(settings).detector, fresh(settings), traffic(SIZE)
    reader = open_source(settings, settings.sources[0])

    def take(start: int, stop: int) -> int:
        size = stop - start
        read = reader.read(Raw(values[start:stop], [0] * size, range(start, stop), [0] * size))
        mine = dict(scatter(read.rows, settings.topics.partitions))[0]
        entry = Entry(stop, pack_message(mine), [("schema", SCHEMA_ID)])
        return len(detector.process(part, [entry]).decisions) + len(read.rejected)

    take(0, SIZE // 2)
    gc.collect()
    gc.disable()
    try:
        found = sum(take(start, start + SIZE // 20) for start in range(SIZE // 2, SIZE, SIZE // 20))
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert found > 0


def test_a_sender_id_is_written_as_its_own_message_has_it(settings: Settings, tmp_path: Path) -> None:
    """A later message of the batch writes it otherwise: decision and key must not depend on where the log is cut."""
    rule = {"id": "sender", "when": 'number_kind == "sender"', "action": "flag", "basis": "deterministic"}
    rules = [rule | {"ttl_s": 3_600, "reason": "A sender id."}]
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump({"name": "senders", "rules": rules}))
    verdict = replace(settings.verdict, policy=str(tmp_path / "policy.yaml"))
    detector = Rules.load(replace(settings, verdict=verdict)).detector
    number = pack_sender("acme", 1)

    def message(offset: int, text: str) -> Entry:
        row = np.zeros(1, ROW)
        row["number"], row["other"], row["kind"] = number, pack_digits(NumberKind.E164, "99971000001"), Kind.SMS
        row["flags"], row["event_ms"], row["record_id"], row["source"] = Flag.BEGAN, START_MS + offset, 1 + offset, 1
        return Entry(offset, pack_message(row), [("schema", SCHEMA_ID), ("names", orjson.dumps({str(number): text}))])

    log = [message(0, "ACME"), message(1, "Acme")]
    whole, parts = fresh(settings), fresh(settings)
    together = detector.process(whole, log).decisions
    assert together == [made for entry in log for made in detector.process(parts, [entry]).decisions]
    assert [made.key() for made in together] == ["sender:ACME@1|sms|originating"]
