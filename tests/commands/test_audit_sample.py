"""`detector audit-sample`: a sheet for analysts, which goes back as labels that weigh what they stand for."""

import csv
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import yaml

from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.cli import main
from detector.config import Settings, load
from detector.learning.encode import encode
from detector.learning.labelfile import read_labels
from detector.learning.simulate import Scenario, simulate
from detector.learning.vectors import VectorTable
from detector.metrics import Metrics
from detector.records import ROW, parse_number
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.service.rules import Rules
from detector.units import DAY_MS
from detector.verdict.decisions import Decision
from detector.verdict.memory import Memory
from tests.service.harness import RECORDS, everything, log_entries, settings_tree
from tests.service.test_roles import drain

Run = Callable[..., list[dict[str, str]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with a hold-out of half of all numbers."""
    folder = tmp_path_factory.mktemp("audit")
    tree = settings_tree(folder)
    tree["verdict"] = dict(tree["verdict"]) | {  # type: ignore[call-overload]
        "assume_warm": False,
        "hold_out_share": 0.5,
        "hold_out_key": "secret",
    }
    tree["home"] = dict(tree["home"]) | {"utc_offset_minutes": 120}  # type: ignore[call-overload]
    (folder / "small.yaml").write_text(yaml.safe_dump(tree))
    return folder


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    return load(folder / "small.yaml", environ={})


@pytest.fixture(scope="module")
def broker(settings: Settings) -> MemoryBroker:
    """Nine days with fraud on the last, worked off by both roles."""
    broker = MemoryBroker()
    broker.create(topic_specs(settings))
    values = encode(simulate(Scenario(numbers=500, days=9, seed=4)).records)
    broker.publish(RECORDS, [(None, value) for value in values], 0)
    roles = IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, Metrics(), "0")
    drain(*roles)
    for role in roles:
        role.close()
    return broker


@pytest.fixture
def run(folder: Path, broker: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command; the lines of the sheet."""
    for module in ("audit_sample", "archive", "decisions", "labels"):
        monkeypatch.setattr(f"detector.commands.{module}.open_kafka", lambda settings: nullcontext(broker))

    def call(*flags: object) -> list[dict[str, str]]:
        out = tmp_path / "sheet.csv"
        assert main(["audit-sample", "--config", str(folder / "small.yaml"), "--out", str(out), *map(str, flags)]) == 0
        with out.open(newline="") as file:
            return list(csv.DictReader(file))

    return call


def decisions(broker: MemoryBroker, settings: Settings) -> list[Decision]:
    return [Decision.from_json(value or b"") for *_, value in everything(broker, settings.topics.history)]


def day_of(ms: int) -> int:
    return (ms + 120 * 60_000) // DAY_MS


def test_the_population_is_what_production_scored_and_let_be(
    run: Run, broker: MemoryBroker, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Number-days with full windows at which a vector was scored, without those on which a decision was in force."""
    scored: dict[tuple[int, int], float] = {}
    detector = Rules.load(settings).detector
    assert detector.model is not None
    for q in range(settings.topics.partitions):
        part, entries = detector.fresh(q, Memory(), Memory()), log_entries(broker, settings, q)
        first = 0
        for entry in entries:
            rows = np.frombuffer(entry.value or b"", ROW)
            wanted = detector.judge.moments_wanted(rows)
            updated = part.state.update(rows, wanted, detector.model.activity_floor)
            first = first or int(rows["event_ms"].min())
            margins = detector.model.margins(updated.vectors)
            for at, margin in zip(updated.scored.tolist(), margins.tolist(), strict=True):
                if updated.as_of_ms[at] >= first + 7 * DAY_MS:
                    key = int(rows["number"][at]), day_of(int(updated.as_of_ms[at]))
                    scored[key] = max(margin, scored.get(key, margin))
    touched = {
        (parse_number(d.number), day)
        for d in decisions(broker, settings)
        if d.action in ("flag", "warn", "block")
        for day in range(day_of(d.issued_at), day_of(d.expires_at - 1) + 1)
    }
    assert len(touched & scored.keys()) > 5
    sheet = run("--from-topic", "--count", 100_000)
    found = {(parse_number(line["number"]), day_of(int(line["active_from_ms"]))): line for line in sheet}
    assert found.keys() == scored.keys() - touched
    assert all(float(line["margin"]) == pytest.approx(scored[key], abs=1e-3) for key, line in found.items())
    assert {line["probability"] for line in sheet} == {"1.0"}
    assert f"drawn among {len(scored):,}," in capsys.readouterr().out


def test_archive_and_topic_give_the_same_draw(run: Run, folder: Path, tmp_path: Path, broker: MemoryBroker) -> None:
    """With decisions from the history or from a file of them; another seed, another draw."""
    drawn = run("--from-topic", "--count", 40)
    assert len(drawn) == 40
    archive = tmp_path / "archive"
    assert main(["archive", "--config", str(folder / "small.yaml"), "--dir", str(archive), "--once"]) == 0
    assert run("--archive", archive, "--count", 40) == drawn
    file = tmp_path / "decisions.jsonl"
    file.write_bytes(b"".join((value or b"") + b"\n" for *_, value in everything(broker, "decisions.history")))
    assert run("--archive", archive, "--count", 40, "--decisions", file) == drawn
    assert run("--from-topic", "--count", 40, "--seed", 2) != drawn


def test_a_sheet_that_is_filled_in_comes_back_as_labels_that_weigh_what_they_stand_for(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    """Published, read by `features`, and in the table: 1 / probability of each fraud, 1 of an honest number-day, shared
    by its vectors."""
    drawn = run("--from-topic", "--count", 40)
    config, sheet = str(folder / "small.yaml"), tmp_path / "sheet.csv"
    assert main(["labels", "publish", str(sheet), "--config", config]) == 2
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, drawn[0])
        writer.writeheader()
        writer.writerows(line | {"label": ("fraud", "honest")[int(line["number"][-1]) % 2]} for line in drawn)
    known = ["--known-at", "2026-11-20"]
    assert main(["labels", "publish", str(sheet), "--config", config, *known]) == 0
    labels = read_labels([sheet], known_at_ms=0)
    records = tmp_path / "r.jsonl"
    values = encode(simulate(Scenario(numbers=500, days=9, seed=4)).records)
    records.write_bytes(b"".join(value + b"\n" for value in values))
    out = tmp_path / "v.parquet"
    made = ["--source", RECORDS, "--input", str(records), "--labels", "topic", "--known-by", "2026-11-21"]
    assert main(["features", "--config", config, *made, "--out", str(out)]) == 0
    with VectorTable(out) as table:
        rows = [row for b in table.batches(["number", "event_ms", "label_source", "weight"]) for row in b.to_pylist()]
    weights: dict[tuple[int, int], float] = {}
    for row in rows:
        if row["label_source"] == "random_audit":
            key = parse_number(row["number"]), day_of(row["event_ms"])
            weights[key] = weights.get(key, 0.0) + row["weight"]
    wanted = {
        (label.number, day_of(label.active_from_ms)): 1 / label.probability if label.fraud else 1.0 for label in labels
    }
    assert weights == pytest.approx(wanted)
    assert max(wanted.values()) > 3
    assert min(wanted.values()) == 1


def test_audits_say_what_recall_is(run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From labels in files and on the topic; without an audit nothing."""
    drawn = run("--from-topic", "--count", 40, "--seed", 3)
    config, sheet = ["--config", str(folder / "small.yaml")], tmp_path / "filled.csv"
    lines = [
        line | {"label": ("fraud", "honest")[i > 0], "known_at_ms": "1800000000000"} for i, line in enumerate(drawn)
    ]
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, drawn[0])
        writer.writeheader()
        writer.writerows(lines)
    assert main(["audit-sample", *config, "--estimate", str(sheet)]) == 0
    missed = 1 / float(drawn[0]["probability"])
    said = capsys.readouterr().out
    assert f"40 number-days audited, 1 of them fraud: {missed:,.0f} missed (" in said
    assert "recall of fraud's number-days: 0.0% (" in said
    sheet.write_text(sheet.read_text().splitlines()[0] + "\n")
    assert main(["audit-sample", *config, "--estimate", str(sheet)]) == 0
    assert "nothing can be said of recall" in capsys.readouterr().out


def days_of(sheet: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(line["number"], line["day"]) for line in sheet}


def test_each_week_draws_among_its_own_days(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the home's days, the last exclusive; each line says when its day began and which draw it is of."""
    whole = run("--from-topic", "--count", 10_000)
    (first, second) = sorted({line["day"] for line in whole})[:2]
    parts = [
        run("--from-topic", "--count", 10_000, "--to", second),
        run("--from-topic", "--count", 10_000, "--from", second),
    ]
    assert {line["day"] for line in parts[0]} == {first}
    assert days_of(parts[0]) | days_of(parts[1]) == days_of(whole)
    assert not days_of(parts[0]) & days_of(parts[1])
    assert all(line["drawn_ms"] == line["active_from_ms"] for line in whole)
    names = [{line["draw"] for line in sheet} for sheet in (*parts, whole)]
    assert [len(each) for each in names] == [1, 1, 1]
    assert len(set.union(*names)) == 3
    begins = {line["drawn_ms"] for line in whole if line["day"] == second}
    assert {name.split("-")[1] for name in names[0]} == {name.split("-")[0] for name in names[1]} == begins
    held = run("--hold-out", "--to", second)
    assert {line["day"] for line in held} <= {first}
    assert {(line["drawn_ms"], line["draw"]) for line in held} <= {("", "")}
    config = ["--config", str(folder / "small.yaml")]
    for flags, said in (
        (["--from-topic", "--from", second, "--to", first], "--to: wanted a day behind that of --from"),
        (["--estimate", "topic", "--from", first], "--estimate: wanted it without --from"),
        ([], "wanted one of them (got none)"),
    ):
        assert main(["audit-sample", *config, *flags, "--out", "x.csv"]) == 2
        assert said in capsys.readouterr().err


def test_two_days_that_were_drawn_of_one_fraud_are_both_counted(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the analyst writes the same interval in both lines; and a second draw of the same days adds nothing."""
    config, known = ["--config", str(folder / "small.yaml")], ["--known-at", "2026-11-20"]
    whole = run("--from-topic", "--count", 10_000)
    numbers, second = [line["number"] for line in whole], max(line["day"] for line in whole)
    fraud = next(number for number in numbers if numbers.count(number) == 2 and (number, second) in days_of(whole))
    assert main(["labels", "withdraw", *sorted(set(numbers)), *config]) == 0  # what other tests have said of them
    audited = 0
    for flags, found in (([], 2), (["--to", second], 3)):
        drawn = run("--from-topic", "--count", 10_000, *flags)
        for line in drawn:
            line["label"] = "fraud" if line["number"] == fraud else "honest"
            if line["number"] == fraud:
                line["active_from_ms"], line["active_until_ms"] = "1", ""
        sheet, audited = tmp_path / "filled.csv", audited + len(drawn)
        with sheet.open("w", newline="") as file:
            writer = csv.DictWriter(file, drawn[0])
            writer.writeheader()
            writer.writerows(drawn)
        assert main(["labels", "publish", str(sheet), *config, *known]) == 0
        capsys.readouterr()
        assert main(["audit-sample", *config, "--estimate", "topic"]) == 0
        (said, *_) = capsys.readouterr().out.splitlines()
        assert f"{audited:,} number-days audited, {found} of them fraud: 2 missed (" in said
    assert main(["labels", "withdraw", *sorted(set(numbers)), *config]) == 0


def test_what_was_caught_counts_on_days_on_which_somebody_tried(
    run: Run, folder: Path, broker: MemoryBroker, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the traffic is given; else also while a decision was in force against a number that was silent."""
    file = tmp_path / "labels.csv"
    head = "number,label,active_from_ms,known_at_ms,source,probability\n"
    lines = {f"{d.number},fraud,1,1900000000000,complaint,1\n" for d in decisions(broker, settings)}
    begins = {line["active_from_ms"] for line in run("--from-topic", "--count", 10_000)}
    honest = {f"+999700099999,honest,{ms},1900000000000,random_audit,0.5\n" for ms in begins}
    file.write_text(head + "".join(sorted(lines | honest)))
    caught = []
    for flags in ([], ["--from-topic"]):
        capsys.readouterr()
        argv = ["audit-sample", "--config", str(folder / "small.yaml"), "--estimate", str(file), *flags]
        assert main(argv) == 0
        caught.append(int(capsys.readouterr().out.split(" caught")[0].rsplit(" ", 1)[1]))
    assert 0 < caught[1] < caught[0]


def test_the_hold_out_is_listed_with_its_share(run: Run, broker: MemoryBroker, settings: Settings) -> None:
    """Every number-day whose block was held back for nothing else."""
    sheet = run("--hold-out")
    wanted = {
        (parse_number(d.number), day_of(d.issued_at))
        for d in decisions(broker, settings)
        if d.held_back == ("hold_out",)
    }
    assert len(wanted) > 3
    assert {(parse_number(line["number"]), day_of(int(line["active_from_ms"]))) for line in sheet} == wanted
    assert {(line["source"], line["probability"], line["label"]) for line in sheet} == {("hold_out", "0.5", "")}


def test_a_wrong_command_line_says_what_was_wanted(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sheet that no spreadsheet opens, an archive that is none, decisions that are none."""
    config = ["--config", str(folder / "small.yaml")]
    assert main(["audit-sample", *config, "--from-topic", "--out", str(tmp_path / "x.parquet")]) == 2
    assert "--out: wanted a file that ends in .csv (got " in capsys.readouterr().err
    assert main(["audit-sample", *config, "--archive", str(tmp_path), "--out", str(tmp_path / "x.csv")]) == 2
    assert "wanted what `detector archive` wrote of 4 partitions (got none)" in capsys.readouterr().err
    (tmp_path / "d.jsonl").write_text("{}\n")
    flags = ["--hold-out", "--decisions", str(tmp_path / "d.jsonl"), "--out", str(tmp_path / "x.csv")]
    assert main(["audit-sample", *config, *flags]) == 2
    assert "d.jsonl: line 1: wanted a decision" in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()


def test_what_blocks_hide_is_told_by_the_hold_out_or_said_to_be_missing(
    run: Run, folder: Path, tmp_path: Path, broker: MemoryBroker, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of a hold-out of one half is fraud: twice as many were caught. Without labels of it, the estimate says on how
    many number-days blocks were in force."""
    held = run("--hold-out")
    days = {line["day"]: int(line["active_from_ms"]) for line in held}
    spared = {"label": "fraud", "known_at_ms": "1900000000000"}
    nobody = spared | {"number": "+999700099999", "label": "honest", "source": "random_audit", "probability": "0.5"}
    honest = [nobody | {"active_from_ms": str(ms), "active_until_ms": str(ms + DAY_MS)} for ms in days.values()]
    first, last = (day_of(edge(days.values())) for edge in (min, max))
    blocked = {
        (d.number, day)
        for d in decisions(broker, settings)
        if d.action == "block"
        for day in range(max(first, day_of(d.issued_at)), min(last, day_of(d.expires_at - 1)) + 1)
    }
    assert len(blocked) > 3
    missing = f"on {len(blocked)} number-days a block was in force of which no label of the hold-out tells"
    for lines, caught, untold in (
        (honest, " 0 caught\n", True),
        (honest + [line | spared for line in held], f" {2 * len(held)} caught (", False),
    ):
        sheet = tmp_path / "labels.csv"
        with sheet.open("w", newline="") as file:
            writer = csv.DictWriter(file, held[0] | spared, restval="")
            writer.writeheader()
            writer.writerows(lines)
        capsys.readouterr()
        assert main(["audit-sample", "--config", str(folder / "small.yaml"), "--estimate", str(sheet)]) == 0
        said = capsys.readouterr().out
        assert caught in said
        assert (missing in said) == untold
