"""`detector backtest`: what the roles themselves would decide, from files or from the topic, in two lanes at once."""

import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.cli import main
from detector.commands.backtest import _truth
from detector.config import ROOT, Settings, load
from detector.learning.backtest import AGAINST
from detector.learning.cdr import TRUNKS
from detector.learning.encode import encode
from detector.learning.known import Known
from detector.learning.labelfile import DETECTOR, NumberLabel, write_labels
from detector.learning.labels import FRAUD_ROW, HONEST_ROW, NEITHER
from detector.learning.simulate import Scenario, Traffic, simulate
from detector.metrics import Metrics
from detector.records import parse_number
from detector.replay import Replay
from detector.service.ingest import IngestRole
from detector.units import DAY_MS
from detector.verdict.decisions import Decision
from tests.service.harness import RECORDS, settings_tree
from tests.service.test_roles import drain
from tests.strategies import NUMBERS


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Eight days, the last with campaigns: rules speak on the last only."""
    return simulate(Scenario(numbers=1_500, days=8, seed=11))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, traffic: Traffic) -> Path:
    """A configuration, the records, the labels."""
    folder = tmp_path_factory.mktemp("backtest")
    tree: dict[str, Any] = settings_tree(folder)
    tree["sources"][0] |= {"trunks": {name: {"id": trunk.id} | flags(trunk) for name, trunk in TRUNKS.items()}}
    tree["verdict"] |= {"assume_warm": False}
    (folder / "detector.yaml").write_text(yaml.safe_dump(tree))
    (folder / "records.jsonl").write_bytes(b"\n".join(encode(traffic.records)) + b"\n")
    labels = [
        NumberLabel(
            label.number,
            True,
            label.active_from_ms,
            label.active_until_ms,
            label.active_until_ms,
            "analyst",
            label.type,
        )
        for label in traffic.labels
    ]
    write_labels(folder / "labels.jsonl", labels)
    return folder


def flags(trunk: Any) -> dict[str, bool]:
    return {name: getattr(trunk, name) for name in ("international", "interconnect") if getattr(trunk, name)}


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    return load(folder / "detector.yaml", {})


@pytest.fixture(scope="module")
def decided(settings: Settings, traffic: Traffic) -> list[Decision]:
    """By the roles themselves, from the same records."""
    with Replay(settings, Metrics()) as replay:
        replay.publish(RECORDS, encode(traffic.records))
        replay.settle()
        return [d for d in replay.decisions() if d.action in AGAINST and not d.renewals and d.basis != "operator"]


def backtest(folder: Path, *more: str) -> dict[str, Any]:
    """What the command writes of the records, or of the topic where `--from` is among `more`."""
    out = folder / "out.json"
    given = [] if "--from" in more else [str(folder / "records.jsonl"), "--source", RECORDS]
    assert main(["backtest", *given, "--config", str(folder / "detector.yaml"), "--json", str(out), *more]) == 0
    found: dict[str, Any] = json.loads(out.read_bytes())
    return found


@pytest.fixture(scope="module")
def plain(folder: Path) -> dict[str, Any]:
    """One lane, with labels."""
    return backtest(folder, "--labels", str(folder / "labels.jsonl"), "--budget", "3")


def test_decisions_are_those_of_the_roles(plain: dict[str, Any], decided: list[Decision]) -> None:
    """By rule, by day, and by what held a block back."""
    (lane,) = plain["lanes"]
    assert decided
    wanted = Counter((d.rule, d.action) for d in decided)
    assert {(rule, action): n for rule, found in lane["rules"].items() for action, n in found.items()} == wanted
    assert sum(n for found in lane["days"].values() for n in found.values()) == len(decided)
    assert lane["held_back"] == Counter(why for d in decided for why in d.held_back)
    assert lane["numbers"] == len({d.number for d in decided})


def test_alerts_are_numbers_a_day(plain: dict[str, Any], decided: list[Decision]) -> None:
    """However many cases and rules speak of one number: an analyst looks at it once that day."""
    (lane,) = plain["lanes"]
    wanted = Counter(day for day, _ in {(d.issued_at // 86_400_000, d.number) for d in decided})
    assert sorted(n for n in lane["alerts"].values() if n) == sorted(wanted.values())
    # The windows are full from the eighth day on; a call that ends past midnight makes no ninth.
    assert 1 <= lane["span_days"] <= 26 / 24
    assert lane["alerts_a_day"] == pytest.approx(wanted.total() / lane["span_days"])


def test_frauds_are_caught_and_honest_numbers_touched_as_the_labels_say(
    plain: dict[str, Any], decided: list[Decision], traffic: Traffic
) -> None:
    """A fraud by a decision while one of its labels lasts; every number without a label is honest."""
    (lane,) = plain["lanes"]
    begun: dict[int, tuple[int, str]] = {}
    spans: dict[int, list[tuple[int, int]]] = {}
    for label in sorted(traffic.labels, key=lambda label: -label.active_from_ms):
        begun[label.number] = label.active_from_ms, label.type
        spans.setdefault(label.number, []).append((label.active_from_ms, label.active_until_ms))

    def lasted(number: int, at_ms: int) -> bool:
        return any(from_ms <= at_ms < until_ms for from_ms, until_ms in spans.get(number, ()))

    against = [(parse_number(d.number), d) for d in decided]
    caught = {number for number, d in against if lasted(number, d.issued_at)}
    blocked = {number for number, d in against if lasted(number, d.issued_at) and d.action == "block"}
    by_type = Counter(kind for _, kind in begun.values())
    assert {kind: found["numbers"] for kind, found in lane["types"].items()} == by_type
    assert {kind: found["caught"] for kind, found in lane["types"].items() if found["caught"]} == Counter(
        begun[number][1] for number in caught
    )
    assert sum(found["blocked"] for found in lane["types"].values()) == len(blocked)
    assert len(caught) > 10
    assert sum(lane["touched"].values()) == len({number for number, _ in against if number not in begun})


def test_equal_lanes_decide_alike_and_a_milder_policy_shows(
    folder: Path, plain: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The other lane sees the same rows: what differs is the policy's doing."""
    policy = str(ROOT / "configs" / "policy.yaml")
    both = backtest(folder, "--policy", policy, "--labels", str(folder / "labels.jsonl"), "--budget", "3")["lanes"]
    assert [lane | {"name": ""} for lane in both] == [plain["lanes"][0] | {"name": ""}] * 2
    assert "0 by today only, 0 by other only" in capsys.readouterr().out
    tree = yaml.safe_load(Path(policy).read_text())
    gone = max(plain["lanes"][0]["rules"], key=lambda rule: sum(plain["lanes"][0]["rules"][rule].values()))
    tree["rules"] = [rule for rule in tree["rules"] if rule["id"] != gone]
    milder = ROOT / "configs" / "policy.yaml"
    written = folder / "milder.yaml"
    tree["lists"] = {name: str(milder.parent / path) for name, path in tree["lists"].items()}
    written.write_text(yaml.safe_dump(tree))
    today, other = backtest(folder, "--policy", str(written))["lanes"]
    assert today["rules"] == plain["lanes"][0]["rules"]
    assert gone not in other["rules"]
    assert gone in today["rules"]
    out = capsys.readouterr().out
    assert f"{gone:<32}" in out
    assert "today: model simulated-" in out


def test_suggested_margins_keep_to_the_budget(plain: dict[str, Any]) -> None:
    """At most so many numbers a day reach them, and more would reach the next lower margin."""
    (lane,) = plain["lanes"]
    named = {level["name"]: level for level in lane["suggested"]}
    assert [named[name]["numbers_a_day"] <= most for name, most in (("the budget", 3), ("twice the budget", 6))] == [
        True
    ] * 2
    assert named["half the budget"]["margin"] >= named["the budget"]["margin"] >= named["twice the budget"]["margin"]
    assert [level["name"] for level in lane["levels"]] == ["watch", "flag", "block"]
    assert all(level["frauds_a_day"] <= level["numbers_a_day"] for level in lane["levels"])


def test_the_topic_gives_what_the_files_give(
    folder: Path, settings: Settings, traffic: Traffic, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that ingest published, from the beginning; a range that ends before them gives nothing."""
    broker = MemoryBroker()
    broker.create(topic_specs(settings))
    broker.publish(RECORDS, [(None, value) for value in encode(traffic.records)], partition=0)
    role = IngestRole(settings, broker, Metrics(), "0")
    drain(role)
    monkeypatch.setattr("detector.commands.backtest.open_kafka", lambda _: nullcontext(broker))
    labels = ["--labels", str(folder / "labels.jsonl"), "--budget", "3"]
    (lane,) = backtest(folder, "--from", "0", *labels)["lanes"]
    # Cut into other batches, decided alike: ids and budgets are of the log.
    assert lane == plain["lanes"][0]
    # What lies before the range is remembered: its windows are full, and only its own rows are decided on.
    middle = str(max(broker.watermarks(TopicPartition(settings.topics.events, q))[1] for q in range(4)) - 40)
    (late,) = backtest(folder, "--from", middle, *labels)["lanes"]
    assert late["rows"] == lane["rows"]
    assert 0 < late["scored"] < lane["scored"]
    assert late["rules"]
    assert 0 < late["span_days"] <= lane["span_days"]
    (early,) = backtest(folder, "--from", "0", "--to", "2000-01-01", *labels)["lanes"]
    assert (early["rows"], early["rules"], early["suggested"]) == (0, {}, [])
    role.close()


def test_files_of_any_form_and_order_are_decided_alike(folder: Path, traffic: Traffic, tmp_path: Path) -> None:
    """JSON lines as filed, the same shuffled and put in order of time, the same as parquet."""
    _, first = np.unique(traffic.records["end_ms"], return_index=True)
    lines = encode(traffic.records[first[-20_000:]])
    shuffled = [lines[i] for i in np.random.default_rng(1).permutation(len(lines))]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "b.jsonl").write_bytes(b"\n".join(shuffled[:9_000]))
    (tmp_path / "c.jsonl").write_bytes(b"\n".join(shuffled[9_000:]))
    records = [orjson.loads(line) for line in lines]
    fields = {field for record in records for field in record}
    columns = {field: [record.get(field) for record in records] for field in sorted(fields)}
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    found = []
    for files in (["a.jsonl"], ["b.jsonl", "c.jsonl", "--by-time"], ["d.parquet"]):
        given = [file if file.startswith("--") else str(tmp_path / file) for file in files]
        command = ["backtest", *given, "--source", RECORDS, "--config", str(folder / "detector.yaml"), "--assume-warm"]
        assert main([*command, "--json", str(tmp_path / "out.json")]) == 0
        found.append(json.loads((tmp_path / "out.json").read_bytes())["lanes"])
    assert found[0][0]["rules"]
    assert found == [found[0]] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "wanted FILEs, or --from for a range of the internal topic (got neither)"),
        (["records.jsonl"], "--source: wanted the configured source that reads the files (got none)"),
        (["none.jsonl", "--source", RECORDS], "none.jsonl: wanted a readable file"),
    ],
)
def test_what_is_missing_is_named(
    folder: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit 2 and one line."""
    monkeypatch.chdir(folder)
    assert main(["backtest", *arguments, "--config", "detector.yaml"]) == 2
    assert message in capsys.readouterr().err


def test_what_labels_say_of_a_number_is_what_features_would_say(folder: Path, tmp_path: Path) -> None:
    """Whether it was caught or wronged is judged by the same labels that it would be learnt from: what our own decision
    says is not heard, what others say beside it is."""
    settings = load(folder / "detector.yaml", environ={})
    fraud = NumberLabel(1, True, 10 * DAY_MS, 20 * DAY_MS, 21 * DAY_MS, "complaint", "irsf")
    own = replace(fraud, source=DETECTOR)
    cleared = replace(fraud, fraud=False, source="analyst", type=None)
    cases = {
        NUMBERS[0]: ([fraud], FRAUD_ROW),
        NUMBERS[0] + 1: ([own], NEITHER),
        NUMBERS[0] + 2: ([own, fraud], FRAUD_ROW),
        NUMBERS[0] + 3: ([own, cleared], HONEST_ROW),
        NUMBERS[0] + 4: ([cleared], HONEST_ROW),
        NUMBERS[0] + 5: ([fraud, replace(cleared, known_at_ms=22 * DAY_MS)], HONEST_ROW),
    }
    labels = [replace(label, number=number) for number, (some, _) in cases.items() for label in some]
    write_labels(tmp_path / "labels.csv", labels)
    truth = _truth([tmp_path / "labels.csv"], settings)
    numbers = np.array(list(cases), np.uint64)
    known = Known(labels, 90 * DAY_MS, 14 * DAY_MS).of(numbers, np.full(len(cases), 15 * DAY_MS)).label.tolist()
    for number, said, (_, wanted) in zip(cases, known, cases.values(), strict=True):
        assert said == wanted
        assert (number in truth.frauds, truth.is_honest(number)) == (said == FRAUD_ROW, said == HONEST_ROW)
