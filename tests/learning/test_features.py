"""Vectors at chosen moments: what one row at a time would give, what detect scores, and nothing of what comes later."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.config import Settings
from detector.features.catalogue import INDEX
from detector.features.state import State
from detector.ingest.rows import Raw, open_source, pack_message, scatter
from detector.ingest.zones import ZoneTable
from detector.learning import features
from detector.learning.encode import encode
from detector.learning.features import NOWHERE, Taken, Taker, Tally, from_files, from_log, joined
from detector.learning.moments import AtLabels, EarlyInDay, EveryNth, Hourly, Moments
from detector.learning.simulate import Scenario, simulate
from detector.pipeline import Detector, Entry, fresh_state
from detector.records import ROW, SCHEMA_ID, Flag, I64s, Kind, Role, Rows, partition_of
from detector.units import DAY_MS, HOUR_MS
from detector.verdict.decisions import Decision
from detector.verdict.judge import Judge, Moment
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy
from tests.learning.settings import learning_settings
from tests.strategies import MONDAY_MS, NUMBERS, rows, splits

Line = tuple[int, int, int, int, bytes]
"""Place, number, event time, offset and the vector's bytes: all that makes a vector what it is."""

KINDS = st.sampled_from(["every:1", "every:2", "every:3", "day:1", "day:3", "hour", "label"])
LABEL_MOMENTS = st.lists(
    st.tuples(st.integers(MONDAY_MS, MONDAY_MS + 10 * DAY_MS), st.sampled_from(NUMBERS)), max_size=4
)


def moments_of(kind: str, labels: list[tuple[int, int]]) -> Moments:
    """The moments of a kind."""
    if kind == "label":
        return AtLabels(sorted(set(labels)))
    if kind == "hour":
        return Hourly()
    name, _, count = kind.partition(":")
    return EarlyInDay(int(count)) if name == "day" else EveryNth(int(count))


def lines(taken: Iterable[Taken]) -> list[Line]:
    """What was taken, to be compared."""
    return [
        (place, number, ms, offset, vector.tobytes())
        for each in taken
        for place, number, ms, offset, vector in zip(
            each.places.tolist(),
            each.numbers.tolist(),
            each.event_ms.tolist(),
            each.offsets.tolist(),
            each.vectors,
            strict=True,
        )
    ]


def naive(stream: Rows, kind: str, floor: int, labels: list[tuple[int, int]]) -> list[Line]:
    """One row at a time, with everything remembered."""
    state, clock = State(2, 0), 0
    active: set[int] = set()
    counts: dict[int, int] = {}
    today: dict[int, int] = {}
    early = {n * 2**k for n in [int(kind.partition(":")[2] or 0)] for k in range(20)}
    waiting = sorted(set(labels))
    found: list[Line] = []

    def as_of(ms: int, numbers: Iterable[int], place: int) -> None:
        wanted = np.array(sorted(numbers), np.uint64)
        for number, vector in zip(wanted.tolist(), state.vectors(wanted, ms), strict=True):
            if any(vector[INDEX[f"{name}_7d"]] > 0 for name in ("calls_out", "calls_in", "sms_out", "sms_in")):
                found.append((place, number, ms, NOWHERE, vector.tobytes()))

    def pass_by(now: int, place: int) -> None:
        hour_ends = clock // HOUR_MS * HOUR_MS + HOUR_MS - 1
        if kind == "hour" and now > hour_ends and active:
            as_of(hour_ends, active, place)
            active.clear()
        while kind == "label" and waiting and waiting[0][0] < now:
            ms = waiting[0][0]
            numbers = [number for each, number in waiting if each == ms]
            waiting[:] = [each for each in waiting if each[0] != ms]
            if clock:
                as_of(ms, numbers, place)

    for i in range(len(stream)):
        row = stream[i : i + 1]
        now = clock if row["kind"][0] == Kind.COMMAND else max(clock, int(row["event_ms"][0]))
        pass_by(now, 2 * i)
        # Before the first traffic there is no time at all: what was waiting until then stays out.
        clock = now
        updated = state.update(row, row["role"] == Role.FROM if kind != "label" else None, floor)
        number, ms = int(row["number"][0]), int(updated.as_of_ms[0])
        if len(updated.scored):
            active.add(number)
            if kind.startswith("every"):
                counts[number] = counts.get(number, -1) + 1
                if counts[number] % int(kind[6:]) == 0:
                    found.append((2 * i + 1, number, ms, int(row["offset"][0]), updated.vectors[0].tobytes()))
            if kind.startswith("day"):
                if ms // DAY_MS > today.get(number, 0):
                    today[number], counts[number] = ms // DAY_MS, 0
                counts[number] += 1
                if counts[number] <= int(kind[4:]) or counts[number] in early:
                    found.append((2 * i + 1, number, ms, int(row["offset"][0]), updated.vectors[0].tobytes()))
    pass_by(clock + 1, 0)
    return found


def take(stream: Rows, kind: str, floor: int, labels: list[tuple[int, int]], cuts: list[int]) -> list[Line]:
    """The taker's, its rows cut into chunks."""
    taker = Taker(State(2, 0), moments_of(kind, labels), floor, Tally())
    bounds = [0, *cuts, len(stream)]
    taken: list[Taken] = []
    for start, stop in pairwise(bounds):
        taken += taker.take(stream[start:stop], np.arange(start, stop))
    return lines([*taken, *taker.rest(taker.clock_ms)])


@given(st.data(), KINDS, st.sampled_from([0, 2]), LABEL_MOMENTS)
def test_vectors_are_those_of_one_row_at_a_time_whatever_the_chunks(
    data: st.DataObject, kind: str, floor: int, labels: list[tuple[int, int]]
) -> None:
    """Late rows, duplicates, commands and hours without anybody included."""
    stream = data.draw(rows(unique_ids=True))
    wanted = naive(stream, kind, floor, labels)
    assert take(stream, kind, floor, labels, []) == wanted
    assert take(stream, kind, floor, labels, data.draw(splits(len(stream)))) == wanted


@given(st.data(), KINDS, LABEL_MOMENTS)
def test_what_comes_later_changes_no_vector(data: st.DataObject, kind: str, labels: list[tuple[int, int]]) -> None:
    """Cut the log behind any row: what was taken up to there is the same, however unkind the order of the rows."""
    stream = data.draw(rows(unique_ids=True))
    cut = data.draw(st.integers(0, len(stream)))
    whole = Taker(State(2, 0), moments_of(kind, labels), 0, Tally())
    part = Taker(State(2, 0), moments_of(kind, labels), 0, Tally())
    before = lines(whole.take(stream[:cut], np.arange(cut)))
    after = lines(whole.take(stream[cut:], np.arange(cut, len(stream))))
    found = lines(part.take(stream[:cut], np.arange(cut)))
    assert found == before
    assert all(line[0] >= 2 * cut for line in after)
    # With the end in sight, moments up to it are taken; the log going on, they come out the same if it goes on later.
    if kind != "label" or cut:
        later = {(number, ms): vector for _, number, ms, _, vector in after}
        beyond = stream[cut:]["event_ms"].min() > part.clock_ms if cut < len(stream) else False
        for _, number, ms, _, vector in lines(part.rest(part.clock_ms)) if beyond else []:
            assert later[number, ms] == vector


def test_a_row_older_than_the_first_is_taken_in_whichever_chunk_it_comes() -> None:
    """
    call at 10:01 of one number | call at 10:00 of another        | = a chunk ends: both have their vector
    """
    stream = calls([1, 0])
    stream["number"][1] = NUMBERS[1]
    whole = take(stream, "every:1", 0, [], [])
    assert take(stream, "every:1", 0, [], [1]) == whole
    assert len(whole) == 2


def test_an_hours_vector_knows_nothing_of_the_next() -> None:
    """
    hour |  call      call |  call
                           ^ as of here: two calls, though the third is what ended the hour
    """
    stream = calls([10, 20, 70])
    taker = Taker(State(2, 0), Hourly(), 0, Tally())
    (hour,) = taker.take(stream, np.arange(3))
    assert hour.event_ms.tolist() == [MONDAY_MS + HOUR_MS - 1]
    assert hour.vectors[0, INDEX["distinct_out_1h"]].round(6) == hour.vectors[0, INDEX["distinct_out_7d"]].round(6) == 2
    assert taker.rest(taker.clock_ms) == []


def test_a_record_from_the_future_ends_the_hours_and_is_not_kept_quiet() -> None:
    """
    hour |  call   call(+2 d)  call   call |       the clock is two days on, and the hours in between have passed
    """
    hourly = Hourly()
    taken = Taker(State(2, 0), hourly, 0, Tally()).take(calls([10, 20, 25, 50]), np.arange(4))
    assert (taken, hourly.behind) == ([], 0)
    stream = calls([10, 2 * 24 * 60, 25, 50])
    stream["number"][1] = NUMBERS[1]
    hourly = Hourly()
    (hour,) = Taker(State(2, 0), hourly, 0, Tally()).take(stream, np.arange(4))
    assert hour.event_ms.tolist() == [MONDAY_MS + HOUR_MS - 1]
    assert hourly.behind == 2


def calls(minutes: list[int]) -> Rows:
    """Calls of the first number to others, that many minutes after Monday began."""
    stream = np.zeros(len(minutes), ROW)
    stream["number"], stream["kind"], stream["role"] = NUMBERS[0], Kind.CALL, Role.FROM
    stream["other"] = np.arange(len(minutes)) + NUMBERS[1]
    stream["event_ms"] = MONDAY_MS + np.array(minutes) * 60_000
    stream["flags"], stream["duration_s"] = Flag.BEGAN | Flag.ANSWERED | Flag.ENDED, 60
    stream["record_id"] = stream["offset"] = np.arange(len(minutes)) + 1
    return stream


def test_labels_moments_outside_the_records_are_counted_and_not_made_up() -> None:
    """
    label 1    | rows ... label 2 ... | label 3          and one of a number that was never heard of
    """
    number, stranger = NUMBERS[0], NUMBERS[1]
    moments = AtLabels([(MONDAY_MS - 1, number), (MONDAY_MS + 15 * 60_000, number), (MONDAY_MS + DAY_MS, number)])
    taker = Taker(State(2, 0), moments, 0, Tally())
    taken = taker.take(calls([10, 20, 70]), np.arange(3)) + taker.rest(taker.clock_ms)
    assert [(each.event_ms.tolist(), each.vectors[0, INDEX["distinct_out_1h"]].round(6)) for each in taken] == [
        ([MONDAY_MS + 15 * 60_000], 1.0)
    ]
    assert (moments.missed, moments.waiting) == (1, 1)
    tally = Tally()
    taker = Taker(State(2, 0), AtLabels([(MONDAY_MS + 15 * 60_000, stranger)]), 0, tally)
    assert taker.take(calls([10, 20, 70]), np.arange(3)) == []
    assert tally.silent == 1


def test_a_number_that_was_forgotten_begins_to_count_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third event: 1, 4 … and after sixteen days of silence the first again; no counter is kept for ever."""
    monkeypatch.setattr("detector.learning.moments.LEAST_SWEPT", 0)
    day = 24 * 60
    stream = calls([0, 1, 2, 3, 4, 4 + 16 * day, 5 + 16 * day, 60 * day])
    every = EveryNth(3)
    (taken,) = Taker(State(2, 0), every, 0, Tally()).take(stream, np.arange(8))
    assert (taken.offsets - 1).tolist() == [0, 3, 5, 7]
    every.chosen(np.array(NUMBERS[1:4], np.uint64), np.full(3, MONDAY_MS + 200 * DAY_MS))
    assert every._seen.keys() == set(NUMBERS[1:4])


def test_the_first_events_of_a_day_are_taken_and_then_ever_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    day 1   call 1, 2, 3, 4 ... 24    of which 1, 2, 3, then 6, 12, 24
    day 2   call 25, 26               of which both: a day begins anew, and no counter outlives the next
    """
    monkeypatch.setattr("detector.learning.moments.LEAST_SWEPT", 0)
    day = 24 * 60
    stream = calls([*range(24), day + 1, day + 2])
    early = EarlyInDay(3)
    (taken,) = Taker(State(2, 0), early, 0, Tally()).take(stream, np.arange(26))
    assert taken.offsets.tolist() == [1, 2, 3, 6, 12, 24, 25, 26]
    early.chosen(np.array(NUMBERS[1:4], np.uint64), np.full(3, MONDAY_MS + 3 * DAY_MS))
    assert early._seen.keys() == set(NUMBERS[1:4])


# Files.


@pytest.fixture(scope="module")
def records() -> list[bytes]:
    """A day and a half of a small network, fraud included, in the plain form."""
    made = simulate(Scenario(numbers=150, days=2, seed=5))
    return encode(made.records[: len(made.records) * 3 // 4])


def written(path: Path, values: list[bytes]) -> Path:
    """A file with a record a line."""
    path.write_bytes(b"".join(value + b"\n" for value in values))
    return path


def taken_of(
    files: list[Path], kind: str = "every:1", labels: list[tuple[int, int]] | None = None, floor: int = 0
) -> Taken:
    """Everything that is taken of the files."""
    settings = learning_settings()
    partitions = settings.topics.partitions

    def moments(q: int) -> Moments:
        mine = [each for each in labels or [] if partition_of(np.array([each[1]], np.uint64), partitions)[0] == q]
        return moments_of(kind, mine)

    return joined(list(from_files(settings, settings.sources[0], files, moments, floor, Tally())))


class Scored(Judge):
    """A judge that remembers what was scored."""

    def __init__(self, model: Model, settings: Settings) -> None:
        zones = ZoneTable.load(settings.path(settings.home.zones))
        super().__init__(Policy.load(settings.path(settings.verdict.policy)), model, zones, settings)
        self.vectors: list[bytes] = []
        self.margins: list[float] = []

    def judge(self, moment: Moment, memory: Memory, live: Memory | None = None) -> list[Decision]:
        self.vectors += [vector.tobytes() for vector in moment.updated.vectors]
        self.margins += moment.margins.tolist()
        return super().judge(moment, memory, live)


def detected(values: list[bytes], settings: Settings, model: Model) -> tuple[list[Scored], list[list[Entry]]]:
    """Of each partition what detect scores, and its log, when records are ingested five hundred at a time."""
    reader = open_source(settings, settings.sources[0])
    logs: list[list[Entry]] = [[] for _ in range(settings.topics.partitions)]
    for start in range(0, len(values), 500):
        part = values[start : start + 500]
        raw = Raw(part, [0] * len(part), range(start, start + len(part)), [0] * len(part))
        for q, mine in scatter(reader.read(raw).rows, settings.topics.partitions):
            logs[q].append(Entry(len(logs[q]), pack_message(mine), [("schema", SCHEMA_ID)]))
    scored = []
    for q, log in enumerate(logs):
        scored.append(Scored(model, settings))
        detector = Detector(settings, scored[q], model)
        detector.process(detector.fresh(q, Memory(), Memory()), log)
    return scored, logs


@pytest.fixture(scope="module")
def model() -> Model:
    """The shipped one."""
    settings = learning_settings()
    return Model.load(settings.path(settings.model.bundle))


@pytest.mark.parametrize("chunk", [700, 16_384])
def test_vectors_are_the_bytes_that_detect_scores(
    tmp_path: Path, records: list[bytes], monkeypatch: pytest.MonkeyPatch, model: Model, chunk: int
) -> None:
    """From files and from the log alike, with the floor of the model, in whatever chunks."""
    monkeypatch.setattr(features, "CHUNK", chunk)
    settings = learning_settings()
    floor = model.activity_floor
    scored, logs = detected(records, settings, model)
    taken = taken_of([written(tmp_path / "r.jsonl", records)], floor=floor)
    assert len(taken) > 500
    assert (np.diff(taken.offsets) >= 0).all()
    homes = partition_of(taken.numbers, settings.topics.partitions)
    for q, (wanted, log) in enumerate(zip(scored, logs, strict=True)):
        mine = taken.vectors[homes == q]
        assert [vector.tobytes() for vector in mine] == wanted.vectors
        assert model.margins(mine).tolist() == wanted.margins
        taker = Taker(fresh_state(settings), EveryNth(1), floor, Tally())
        from_the_log = joined(list(from_log(log, taker, 0, Tally())))
        assert [vector.tobytes() for vector in from_the_log.vectors] == wanted.vectors
        assert from_the_log.offsets.tolist() == taken.offsets[homes == q].tolist()


def test_a_range_of_the_log_has_the_state_of_all_that_came_before(records: list[bytes], model: Model) -> None:
    """Vectors from an offset on are those of the whole log from there on."""
    settings = learning_settings()
    _, logs = detected(records, settings, model)
    log = logs[0]
    start = len(log) // 2
    whole = list(from_log(log, Taker(fresh_state(settings), EveryNth(1), 0, Tally()), 0, Tally()))
    part = list(from_log(log, Taker(fresh_state(settings), EveryNth(1), 0, Tally()), start, Tally()))
    assert 0 < sum(map(len, part)) < sum(map(len, whole))
    assert [line[1:] for line in lines(part)] == [line[1:] for line in lines(whole)][-sum(map(len, part)) :]


def test_a_broken_message_of_the_log_is_counted_and_passed_over(records: list[bytes], model: Model) -> None:
    """As in detect: what is not what the schema says stops nothing."""
    settings = learning_settings()
    _, logs = detected(records[:2000], settings, model)
    tally = Tally()
    broken = [Entry(0, b"?", [("schema", SCHEMA_ID)]), *(replace(entry, offset=entry.offset + 1) for entry in logs[0])]
    taken = list(from_log(broken, Taker(fresh_state(settings), EveryNth(1), 0, tally), 0, tally))
    assert tally.rejected == {"wrong_shape": 1}
    assert sum(map(len, taken)) > 0


def _labels(records: list[bytes]) -> list[tuple[int, int]]:
    """Moments of some numbers, spread over the span of the records."""
    settings = learning_settings()
    reader = open_source(settings, settings.sources[0])
    raw = Raw(records, [0] * len(records), range(len(records)), [0] * len(records))
    found: Rows = reader.read(raw).rows
    picked = found[:: len(found) // 40]
    return [(int(row["event_ms"]) + 1_234, int(row["number"])) for row in picked]


@pytest.mark.parametrize("kind", ["every:1", "every:5", "hour", "label"])
def test_cutting_the_files_after_a_moment_changes_no_vector_up_to_it(
    tmp_path: Path, records: list[bytes], kind: str
) -> None:
    """The whole path, at three moments: what is there up to the last record is what there was."""
    labels = _labels(records)
    whole = taken_of([written(tmp_path / "r.jsonl", records)], kind, labels)
    settings = learning_settings()
    reader = open_source(settings, settings.sources[0])
    raw = Raw(records, [0] * len(records), range(len(records)), [0] * len(records))
    read = reader.read(raw).rows
    times: I64s = np.zeros(len(records), np.int64)
    times[read["offset"].astype(np.int64)] = read["event_ms"]
    for share in (0.2, 0.5, 0.9):
        t = int(times[int(share * len(records))])
        kept = [value for value, ms in zip(records, times.tolist(), strict=True) if ms <= t]
        cut = taken_of([written(tmp_path / "cut.jsonl", kept)], kind, labels)
        assert cut.event_ms.max() <= t
        wanted = {line[1:] for line in lines([whole]) if line[2] <= t}
        assert len(wanted) > (5 if kind == "label" else 50)
        assert {line[1:] for line in lines([cut])} == wanted


@pytest.mark.parametrize("kind", ["every:3", "hour"])
def test_only_the_order_of_the_records_counts_not_their_files_or_chunks(
    tmp_path: Path, records: list[bytes], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Three files are one log, and so are chunks of any size."""
    whole = lines([taken_of([written(tmp_path / "r.jsonl", records)], kind)])
    parts = [records[:1], records[1:900], records[900:]]
    files = [written(tmp_path / f"{i}.jsonl", part) for i, part in enumerate(parts)]
    monkeypatch.setattr(features, "CHUNK", 777)
    assert [line[1:] for line in lines([taken_of(files, kind)])] == [line[1:] for line in whole]
    other = lines([taken_of(files[::-1], kind)])
    assert [line[1:] for line in other] != [line[1:] for line in whole]


def test_rejected_records_are_counted_and_told(tmp_path: Path, records: list[bytes]) -> None:
    """Each by its place in the log, with what it was; the others are as if it were not there."""
    settings = learning_settings()
    told: list[tuple[int, str, bytes | None]] = []
    tally = Tally()
    path = written(tmp_path / "r.jsonl", [records[0], b"{", *records[1:50]])
    taken = list(
        from_files(
            settings,
            settings.sources[0],
            [path],
            lambda q: EveryNth(1),
            0,
            tally,
            lambda offset, rejected, value: told.append((offset, rejected.reason.value, value)),
        )
    )
    assert told == [(1, "undecodable", b"{")]
    assert (tally.records, dict(tally.rejected)) == (51, {"undecodable": 1})
    assert tally.statuses["counted"] > 50
    assert sum(map(len, taken)) > 20
