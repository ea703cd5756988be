"""Peers: the smaller job, what is compared, how it is told; and one peer beside our own on a real Kafka."""

import argparse
import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import yaml

from detector.config import load
from detector.errors import ConfigError
from loadtest.configuration import configure, regroup
from loadtest.peers import build, command
from loadtest.peers.backlog import COEFFICIENTS, DECIDED, INTERCEPT, draw, spread
from loadtest.peers.compare import LIMIT, OURS, Measured
from loadtest.peers.engines import PEERS
from loadtest.peers.job import Pane, Task, count, features, score
from loadtest.peers.output import Ending, difference, difference_of_ours
from loadtest.peers.table import rows, table, verdicts

MINUTE = 60_000
TASK = Task(
    bootstrap="127.0.0.1:1",
    topic="records",
    group="g",
    decisions="g.decisions",
    threads=2,
    commit_ms=1_000,
    coefficients=(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    intercept=-2.0,
    threshold=0.5,
)


def call(minute: float, to: str = "+1", talk_s: int | None = None) -> dict[str, object]:
    """A call that ended then, answered if it has talk."""
    outcome = "no_answer" if talk_s is None else "answered"
    return {"id": "c", "from": "+9", "to": to, "end": int(minute * MINUTE), "duration": talk_s or 0, "outcome": outcome}


def counted(*records: dict[str, object]) -> list[Pane]:
    """The panes after them."""
    panes: list[Pane] = []
    for record in records:
        panes = count(panes, record)
    return panes


def test_features_are_those_of_five_minutes_and_an_hour() -> None:
    """Two windows end at the newest pane.

    minute     0    57  58                    62 63
    calls      1    1   1                     1  1
    5 min                                 [59 .. 63]
    1 h             [4 ..                         63]
    """
    panes = counted(
        call(0, "+1"),
        call(57, "+2", talk_s=30),
        call(58, "+3", talk_s=3),
        call(62, "+2", talk_s=120),
        call(63.9, "+4"),
    )
    expected = (math.log1p(2), 1 / 2, 0.0, 2.0, 2 / 2, math.log1p(4), 1 / 4, 3 / 4)
    assert features(panes) == pytest.approx(expected)


def test_a_late_record_counts_in_the_newest_pane() -> None:
    """Every engine has each caller's records in one order, so all do the same."""
    assert counted(call(10, "+1"), call(3, "+2")) == [[10, 2, 0, 0, 0, ["+1", "+2"]]]


def test_a_message_counts_as_an_attempt() -> None:
    """It has a time, and no talk."""
    sms = {"id": "m", "from": "+9", "to": "+1", "time": 5 * MINUTE, "outcome": "sent"}
    assert counted(call(4), sms)[-1] == [5, 1, 0, 0, 0, ["+1"]]


def test_no_more_than_256_callees_are_remembered() -> None:
    """Attempts count on; those of an expired pane make room."""
    panes = counted(*(call(minute, f"+{minute}-{i}") for minute in (0, 30) for i in range(200)))
    assert [(pane[1], len(pane[5])) for pane in panes] == [(200, 200), (200, 56)]
    assert [(pane[1], len(pane[5])) for pane in count(panes, call(61, "+1"))] == [(200, 56), (1, 1)]


def test_partitions_are_as_long_as_each_other() -> None:
    """A caller's records are in one of them, however many."""
    records = Counter({b"bank": 700, **{b"%d" % i: 1 + i % 7 for i in range(600)}})
    partitions = spread(records)
    lengths: Counter[int] = Counter()
    for caller, partition in partitions.items():
        lengths[partition] += records[caller]
    assert partitions.keys() == records.keys()
    assert max(lengths.values()) - min(lengths.values()) <= 7
    assert len(lengths) == 4


def test_a_score_weighs_the_features() -> None:
    """Here the first alone: the logarithm of the calls in five minutes, less two."""
    assert score(counted(call(0), call(1), call(2)), TASK.coefficients, TASK.intercept) == pytest.approx(
        math.log1p(3) - 2
    )


def test_a_task_reads_as_it_was_written(tmp_path: Path) -> None:
    """The engines are told by a file."""
    TASK.write(tmp_path / "task.json")
    assert replace(Task.read(tmp_path / "task.json"), coefficients=TASK.coefficients) == TASK
    assert tuple(Task.read(tmp_path / "task.json").coefficients) == TASK.coefficients


def test_a_backlog_says_what_must_come_of_it() -> None:
    """A hundredth is decided, and no score lies so near the threshold that a last bit could decide."""
    backlog = draw(10_000, seed=3)
    assert len(backlog.values) == len(backlog.callers) >= 9_000
    assert backlog.decided.total() == pytest.approx(DECIDED * len(backlog.values), rel=0.1)
    assert set(backlog.decided.values()) == {1}
    remembered: dict[bytes, list[Pane]] = {}
    found: Counter[str] = Counter()
    nearest = math.inf
    for caller, value in zip(backlog.callers, backlog.values, strict=True):
        record = orjson.loads(value)
        assert record["from"].encode() == caller
        remembered[caller] = count(remembered.get(caller), record)
        margin = score(remembered[caller], COEFFICIENTS, INTERCEPT)
        nearest = min(nearest, abs(margin - backlog.threshold))
        found[record["id"]] += margin > backlog.threshold
    assert +found == backlog.decided
    assert nearest > 1e-9


@pytest.mark.parametrize(
    ("found", "left", "words"),
    [
        ({"a": 1, "b": 1}, 0, ""),
        ({"a": 1}, 0, "1 decisions missing, 0 too many"),
        ({"a": 1, "b": 2}, 0, "0 decisions missing, 1 too many"),
        ({"a": 1, "c": 1}, 0, "1 decisions missing, 1 too many"),
        ({"a": 1, "b": 1}, 7, "7 records not committed"),
    ],
)
def test_decisions_are_compared_by_the_records_they_were_made_of(found: dict[str, int], left: int, words: str) -> None:
    """One that is there twice is as wrong as one that is not there."""
    assert difference(Counter("ab"), Counter(found), left) == words


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((0, 20, 20, 3, 3), ""),
        ((1, 20, 20, 3, 3), "1 records refused"),
        ((0, 20, 19, 3, 3), "19 of 20 rows counted"),
        ((0, 20, 20, 2, 3), "2 of 3 decisions published"),
    ],
)
def test_our_own_output_is_counted_too(counts: tuple[int, int, int, int, int], words: str) -> None:
    """Nothing refused, and every row and decision once."""
    assert difference_of_ours(*counts) == words


def test_a_peer_is_done_when_its_last_decision_can_be_read() -> None:
    """However late its offsets come; without decisions, offsets alone do not end the clock at once."""
    offsets = iter([0, 40, 60, 60])
    decided = iter([False, False, True])
    ending = Ending(lambda: next(offsets), lambda: next(decided), 100)
    assert [ending(), ending(), ending(), ending()] == [0, 40, 60, 100]
    never = Ending(lambda: 100, lambda: False, 100)
    assert never() == 99


def turn(ours: float = 200_000, flink: float = 90_000, share: float = 0.9, wrong: str = "") -> Mapping[str, Measured]:
    """One in which our own does twice what Flink does, but for what is said."""
    made = {LIMIT: 1_000_000.0, OURS: ours, "flink": flink}
    return {
        name: Measured(name, 1_000_000, rate, 7.0, 2.0, 500_000_000, 9_000, share, wrong if name == "flink" else "")
        for name, rate in made.items()
    }


def test_the_table_has_a_row_an_engine_with_its_ratio() -> None:
    """Ratios are of the same turn, and the middle one is told."""
    turns = [turn(), turn(ours=100_000, flink=40_000), turn(ours=300_000, flink=100_000)]
    told = table(turns, 189.0, 500)
    assert "1,000,000 plain JSON records of 189 bytes, 3 turns" in told
    assert "| this detector | the whole | exactly once | 200,000 (100,000 to 300,000) |  |" in told
    assert "| Flink 1.20 | the smaller | exactly once | 90,000 (40,000 to 100,000) | 2.50 x | 2 x | 7.0 | 2.0 |" in told
    assert "| bare consumer | none: reads |  | 1,000,000 (1,000,000 to 1,000,000) | 0.20 x |" in told
    assert "a commit every 500 ms." in told
    assert "complete and without repeats" in told
    assert "Below" not in told


def test_what_is_wrong_or_below_its_target_is_said() -> None:
    """A sentence each; a rate with a wrong output is worth nothing."""
    assert verdicts(rows([turn(flink=150_000)]))[1:] == ["Below its target: 1.33 x Flink 1.20, wanted 2 x"]
    assert verdicts(rows([turn(wrong="1 decisions missing, 0 too many")])) == [
        "WRONG: Flink 1.20: 1 decisions missing, 0 too many"
    ]


def test_a_first_commit_that_has_most_of_the_records_is_said() -> None:
    """What little came after it says nothing of the engine."""
    words = [words for words in verdicts(rows([turn(share=0.1)])) if "first commit" in words]
    assert words[1] == (
        "COARSE: this detector: 90% of the records were in its first commit: "
        "give more --records, or a shorter --commit-ms"
    )


def test_peers_are_chosen_by_name() -> None:
    """Whatever the order; a name that is not known is refused with those that are."""
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    chosen = parser.parse_args(["peers", "--only", "quix,flink"]).only
    assert [peer.name for peer in chosen] == ["flink", "quix"]
    assert [peer.name for peer in parser.parse_args(["peers"]).only] == list(PEERS)
    with pytest.raises(SystemExit):
        parser.parse_args(["peers", "--only", "storm"])


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched or started."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"Java 17 and Maven on the path \(not found: java, mvn\)"):
        build.check_tools(java=True, python=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="Quix Streams needs pip"):
        build.check_tools(java=False, python=True)


def test_a_build_that_fails_says_what_it_was_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Maven that cannot reach its repository, say."""
    tools = tmp_path / "tools"
    tools.mkdir()
    maven = tools / "mvn"
    maven.write_text("#!/bin/sh\necho no route to the repository\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    with pytest.raises(ConfigError, match=r"flink: `mvn .*(?s:.)*no route to the repository"):
        build.classpath_of(tmp_path / "built", "flink")
    assert list((tmp_path / "built").iterdir()) == []


@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if peer.needs_java])
def test_a_peer_is_built_once_and_started_with_its_task(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maven leaves classes and jars where it is told to."""
    maven = tmp_path / "mvn"
    maven.write_text(
        f"#!/bin/sh\necho called >> {tmp_path}/calls\n"
        'for one; do case $one in -Dpeers.build=*) mkdir -p "${one#*=}/classes" "${one#*=}/jars";; esac; done\n'
    )
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    built = tmp_path / "built"
    made = PEERS[name].build(built)(Path("task.json"), Path("state"))
    assert PEERS[name].build(built)(Path("task.json"), Path("state")) == made
    assert (tmp_path / "calls").read_text() == "called\n"
    (folder,) = built.iterdir()
    assert [made[0], *made[-2:]] == ["java", "task.json", "state"]
    assert made[made.index("-cp") + 1] == f"{folder}/classes:{folder}/jars/*"


def test_a_regrouped_deployment_shares_nothing_but_the_source(tmp_path: Path) -> None:
    """So that each turn begins with empty topics on the same broker."""
    config = configure(tmp_path, "127.0.0.1:1", "one")
    before = load(config)
    regroup(config, "ours-2")
    after = load(config)
    assert after.group == "ours-2"
    assert after.sources == before.sources
    names = [
        [
            topics.events,
            topics.decisions,
            topics.history,
            topics.shadow,
            topics.commands,
            topics.control,
            topics.rejects,
        ]
        for topics in (before.topics, after.topics)
    ]
    assert len(set(itertools.chain(*names))) == 14
    assert after.topics.partitions == before.topics.partitions
    assert yaml.safe_load(config.read_text())["topics"]["replication"] == 1


@pytest.mark.kafka
@pytest.mark.slow
def test_a_peer_beside_our_own_gives_what_the_plain_pass_gives() -> None:
    """Kafka Streams, compiled once and kept: every record worked off by both, no decision missing or repeated."""
    (measured,), _ = command.measure([PEERS["kstreams"]], 200_000, 1, 1, build.BUILT, commit_ms=100)
    assert list(measured) == [LIMIT, OURS, "kstreams"]
    assert [one.wrong for one in measured.values()] == ["", "", ""]
    assert all(one.records_per_s > 0 and one.peak_bytes > 0 for one in measured.values())
    assert measured["kstreams"].decisions > 100
