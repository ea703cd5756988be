"""`weekly`: what a carrier does every week, on two simulated weeks and a real Kafka, as one log to read."""

import argparse
import csv
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, positive
from detector.commands.deployment import MODEL_INFO, deployed
from detector.commands.narration import head, tell, typed
from detector.config import ROOT
from detector.errors import ConfigError, Fatal
from detector.units import DAY_MS

if TYPE_CHECKING:
    from detector.commands.deployment import Deployment
    from detector.learning.labelfile import NumberLabel
    from detector.learning.weeks import Week

NUMBERS: Final = 2_000
OUT: Final = Path("var", "weekly")
TABLE: Final = "every:1"
"""As serving scores: thresholds are set on it."""
KNOWN_AFTER_DAYS: Final = 21
"""When the labels of a week are joined, as its log tells: nearly all that will ever be said is known then."""
AUDITED: Final = 40
AUDITED_AFTER_DAYS: Final = 7


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "weekly",
        _weekly,
        "go through two weeks of learning: archive, labels, features, fit, evaluate, backtest, promote",
        "Two simulated weeks, in the second of which fraud is another. A detector works on a Kafka of its own\n"
        "(Java 17, Maven), or on --kafka; each week its rows are archived, labels published, vectors made and\n"
        "compared with those that were served, and a candidate fitted. The first week's candidate is judged in the\n"
        "second, beside the model in force, on traffic that neither has seen, and promoted or refused; promoted, it\n"
        "decides without a restart, and on the day after it goes back to the old one and forth again. Every\n"
        "command is printed as you would type it.",
    )
    parser.add_argument(
        "--numbers", type=positive, default=NUMBERS, metavar="N", help=f"subscribers (default: {NUMBERS})"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, another network (default: 1)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"a new folder for everything ({OUT})")
    parser.add_argument(
        "--kafka", metavar="HOST:PORT", help="a Kafka that runs (default: one that is started for this)"
    )
    parser.add_argument(
        "--champion",
        type=Path,
        default=ROOT / "models" / "default",
        metavar="FOLDER",
        help="the bundle in force at first (default: the one that ships)",
    )
    parser.add_argument(
        "--parameter",
        action="append",
        metavar="NAME=VALUE",
        help="for `fit`, as it is; may be repeated (default: models=1, as cheap to serve as the shipped one)",
    )


def _weekly(arguments: argparse.Namespace) -> int:
    from detector.learning.weeks import weeks

    root: Path = arguments.out
    try:
        root.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"--out: {root}: wanted a new folder (got {error.strerror or error})") from error
    tell(f"simulating {arguments.numbers:,} subscribers and three weeks")
    both, monday = weeks(arguments.numbers, arguments.seed)
    with deployed(root, arguments.champion, arguments.kafka, arguments.seed) as deployment:
        loop = Loop(root, deployment, arguments.parameter or ["models=1"])
        for week in both:
            loop.go_through(week)
        loop.begin_the_next(monday)
    return 0


class Loop:
    """What is done every week, and what it leaves for the next."""

    def __init__(self, root: Path, deployment: "Deployment", parameters: Sequence[str]) -> None:
        self._root = root
        self._deployment = deployment
        self._parameters = [part for parameter in parameters for part in ("--parameter", parameter)]
        self._candidate: Path | None = None
        self._tables: list[Path] = []
        self._frauds: list[NumberLabel] = []

    def go_through(self, week: "Week") -> None:
        """The week's traffic has been decided on, learnt from, and the last week's candidate judged by it."""
        first = week.number == 1
        folder = self._root / f"week{week.number}"
        folder.mkdir()
        began_ms = int(time.time() * 1000)
        head(f"Week {week.number}, until {_day(week.ends_ms)}: {week.frauds}")
        tell(f"{len(week.records):,} records{', a week in which windows fill included' if first else ''}")
        self._publish(week.records)

        head(f"Week {week.number}: what is kept, and what is known of it {KNOWN_AFTER_DAYS} days later")
        archive = self._root / "archive"
        self._do("archive", "--dir", archive, "--once")
        self._do("parity", "--archive", archive, wanted=0)
        _label_file(folder / "labels.jsonl", week)
        self._do("labels", "publish", folder / "labels.jsonl")
        self._frauds += week.labels
        known_ms = week.ends_ms + AUDITED_AFTER_DAYS * DAY_MS
        days = ("--from", _day(week.ends_ms - 7 * DAY_MS), "--to", _day(week.ends_ms))
        for name, among in (("audit", ("--archive", archive, "--count", AUDITED)), ("hold-out", ("--hold-out",))):
            sheet = folder / f"{name}.csv"
            self._do("audit-sample", *among, *days, "--seed", week.number, "--out", sheet)
            frauds = _fill_in(sheet, self._frauds)
            tell(f"analysts fill in {sheet}: {frauds} are fraud")
            self._do("labels", "publish", sheet, "--known-at", _day(known_ms))
        self._do("audit-sample", "--estimate", "topic", "--archive", archive)
        table = folder / "vectors.parquet"
        self._do(
            *("features", "--archive", archive, "--at", TABLE, "--warm-days", 7 * week.number),
            *("--decisions", "history"),
            *("--labels", "topic", "--known-by", _day(week.ends_ms + KNOWN_AFTER_DAYS * DAY_MS), "--out", table),
        )
        if self._candidate is not None:
            self._judge(folder, table, self._candidate, began_ms)

        head(f"Week {week.number}: a candidate for the next")
        self._tables.append(table)
        self._candidate = folder / "candidate"
        typed("fit", "--vectors", *self._tables, "--out", self._candidate, "--name", folder.name, *self._parameters)

    def _judge(self, folder: Path, table: Path, candidate: Path, began_ms: int) -> None:
        """The candidate is in force, or is not, for reasons that are printed."""
        head("The candidate of last week and the model in force, on a week that neither has seen")
        for name, bundle in (("champion", self._deployment.bundle), ("challenger", candidate)):
            known = ("--trained-on", *self._tables)  # the candidate's, for both
            typed("evaluate", "--bundle", bundle, "--vectors", table, *known, "--quick", "--out", folder / name)
        self._do(
            *("backtest", "--bundle", candidate, "--labels", "topic", "--from", began_ms),
            *("--json", folder / "backtest.json"),
        )
        files = [folder / name / "evaluation.json" for name in ("champion", "challenger")]
        if typed("promote", "--champion", files[0], "--challenger", files[1], wanted=None) != 0:
            tell("refused: the model in force stays")
            return
        self._deployment.promote(candidate)
        tell(f"promoted: its files stand in {self._deployment.bundle}; to go back, put the old files back")

    def begin_the_next(self, monday: Sequence[bytes]) -> None:
        """The day after: decided by the bundle that is now in force, in the same processes.

        Where one was promoted, the middle of the day is decided by the old one again: its files were put back.
        """
        head("Monday")
        if not self._deployment.before.exists():
            self._decide(monday)
            return
        third = len(monday) // 3
        self._decide(monday[:third])
        head("Monday noon: the old files are put back")
        self._deployment.exchange()
        self._decide(monday[third : 2 * third])
        head("Monday evening: and the new ones again")
        self._deployment.exchange()
        self._decide(monday[2 * third :])

    def _decide(self, records: Sequence[bytes]) -> None:
        """The bundle whose files are in place has decided on `records`, in processes that never stopped."""
        from detector.verdict.bundle import read_manifest

        version = read_manifest(self._deployment.bundle).version
        address = self._deployment.wait_until_taken(version)
        tell(f"{address}/metrics: {MODEL_INFO} says {version}")
        self._publish(records)
        in_force = self._deployment.in_force()
        tell(f"`control` says that {', '.join(sorted(in_force))} decided on it, in processes that never stopped")
        if in_force != {version}:
            raise Fatal(f"wanted {version} in force (got {in_force}): see {self._deployment.log}")
        self._deployment.insist_on_no_restart()

    def _publish(self, records: Sequence[bytes]) -> None:
        self._deployment.publish(records)
        tell("the detector has decided on all of them")

    def _do(self, *argv: object, wanted: int | None = 0) -> int:
        """With the configuration."""
        return typed(*argv, "--config", self._deployment.config, wanted=wanted)


def _fill_in(sheet: Path, frauds: "Sequence[NumberLabel]") -> int:
    """What analysts would find who look at a number on a day: the truth. Returns how many lines are fraud."""
    from detector.records import parse_number

    with sheet.open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file)
        names, rows = lines.fieldnames or (), list(lines)
    for row in rows:
        number, from_ms, until_ms = parse_number(row["number"]), int(row["active_from_ms"]), int(row["active_until_ms"])
        fraud = next((one for one in frauds if one.number == number and _overlaps(one, from_ms, until_ms)), None)
        row["label"] = "fraud" if fraud else "honest"
        if fraud:
            row["type"], row["active_from_ms"] = fraud.type or "", str(fraud.active_from_ms)
            row["active_until_ms"] = str(fraud.active_until_ms or "")
    with sheet.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return sum(row["label"] == "fraud" for row in rows)


def _overlaps(label: "NumberLabel", from_ms: int, until_ms: int) -> bool:
    """Whether the label speaks of any moment of `[from_ms, until_ms)`."""
    ends_ms = label.active_until_ms
    return label.active_from_ms < until_ms and (ends_ms is None or ends_ms > from_ms)


def _label_file(path: Path, week: "Week") -> None:
    from detector.learning.labelfile import write_labels

    write_labels(path, week.labels)


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()
