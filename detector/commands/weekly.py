"""`weekly`: what a carrier does every week, on two simulated weeks and a real Kafka, as one log to read."""

import argparse
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from detector.commands.common import Commands, add_command, out, positive
from detector.config import ROOT, load, read_yaml
from detector.errors import ConfigError, Fatal, Recoverable

if TYPE_CHECKING:
    from detector.broker import Broker
    from detector.config import Settings
    from detector.learning.labelfile import NumberLabel
    from detector.learning.weeks import Week

NUMBERS: Final = 2_000
OUT: Final = Path("var", "weekly")
TABLE: Final = "every:8"
KNOWN_AFTER_DAYS: Final = 21
"""When the labels of a week are joined, as its log tells: nearly all that will ever be said is known then."""
DAY_MS: Final = 86_400_000
PARTITIONS: Final = 4
VECTORS_EVERY: Final = 50
"""Of so small a network one vector in a thousand would be a handful."""
AUDITED: Final = 40
AUDITED_AFTER_DAYS: Final = 7
WORKED_OFF_S: Final = 600.0
TAKEN_S: Final = 60.0
"""Detect looks at its files every two seconds, and takes them when two looks see the same; on a busy machine later."""
LOOK_S: Final = 0.2
ANSWER_S: Final = 5.0
PROCESSES: Final = 2
"""That the detector runs in, one of each role."""
MODEL_INFO: Final = "detector_model_info"
DRAIN_S: Final = 60.0


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
    _say(f"simulating {arguments.numbers:,} subscribers and three weeks")
    both, monday = weeks(arguments.numbers, arguments.seed)
    with ExitStack() as stack:
        address = arguments.kafka or stack.enter_context(_kafka())
        config = _configure(root, arguments.champion, address, arguments.seed)
        settings = load(config)
        broker = stack.enter_context(_broker(settings))
        _run("topics", "create", "--config", config)
        log = root / "detector.log"
        stack.enter_context(_detector(config, log))
        loop = Loop(root, config, settings, broker, arguments.parameter or ["models=1"], log)
        for week in both:
            loop.go_through(week)
        loop.begin_the_next(monday)
    return 0


class Loop:
    """What is done every week, and what it leaves for the next."""

    def __init__(
        self,
        root: Path,
        config: Path,
        settings: "Settings",
        broker: "Broker",
        parameters: Sequence[str],
        log: Path,
    ) -> None:
        self._root, self._config = root, config
        self._settings, self._broker = settings, broker
        self._log = log
        self._parameters = [part for parameter in parameters for part in ("--parameter", parameter)]
        self._champion = settings.path(settings.model.bundle)
        self._candidate: Path | None = None
        self._tables: list[Path] = []
        self._frauds: list[NumberLabel] = []

    def go_through(self, week: "Week") -> None:
        """The week's traffic has been decided on, learnt from, and the last week's candidate judged by it."""
        first = week.number == 1
        folder = self._root / f"week{week.number}"
        folder.mkdir()
        began_ms = int(time.time() * 1000)
        _title(f"Week {week.number}, until {_day(week.ends_ms)}: {week.frauds}")
        _say(f"{len(week.records):,} records{', a week in which windows fill included' if first else ''}")
        self._publish(week.records)

        _title(f"Week {week.number}: what is kept, and what is known of it {KNOWN_AFTER_DAYS} days later")
        archive = self._root / "archive"
        self._do("archive", "--dir", archive, "--once")
        self._do("parity", "--archive", archive, wanted=0)
        _label_file(folder / "labels.jsonl", week)
        self._do("labels", "publish", folder / "labels.jsonl")
        self._frauds += week.labels
        known_ms = week.ends_ms + AUDITED_AFTER_DAYS * DAY_MS
        for name, among in (("audit", ("--archive", archive, "--count", AUDITED)), ("hold-out", ("--hold-out",))):
            sheet = folder / f"{name}.csv"
            self._do("audit-sample", *among, "--seed", week.number, "--out", sheet)
            frauds = _fill_in(sheet, self._frauds)
            _say(f"analysts fill in {sheet}: {frauds} are fraud")
            self._do("labels", "publish", sheet, "--known-at", _day(known_ms))
        self._do("audit-sample", "--estimate", "topic")
        table = folder / "vectors.parquet"
        self._do(
            *("features", "--archive", archive, "--at", TABLE, "--warm-days", 7 * week.number),
            *("--labels", "topic", "--known-by", _day(week.ends_ms + KNOWN_AFTER_DAYS * DAY_MS), "--out", table),
        )
        if self._candidate is not None:
            self._judge(folder, table, self._candidate, began_ms)

        _title(f"Week {week.number}: a candidate for the next")
        self._tables.append(table)
        self._candidate = folder / "candidate"
        _run("fit", "--vectors", *self._tables, "--out", self._candidate, "--name", folder.name, *self._parameters)

    def _judge(self, folder: Path, table: Path, candidate: Path, began_ms: int) -> None:
        """The candidate is in force, or is not, for reasons that are printed."""
        _title("The candidate of last week and the model in force, on a week that neither has seen")
        for name, bundle in (("champion", self._champion), ("challenger", candidate)):
            _run("evaluate", "--bundle", bundle, "--vectors", table, "--quick", "--out", folder / name)
        self._do(
            *("backtest", "--bundle", candidate, "--labels", "topic", "--from", began_ms),
            *("--json", folder / "backtest.json"),
        )
        files = [folder / name / "evaluation.json" for name in ("champion", "challenger")]
        if _run("promote", "--champion", files[0], "--challenger", files[1], wanted=None) != 0:
            _say("refused: the model in force stays")
            return
        shutil.copytree(candidate, _before(self._champion))
        _exchange(self._champion)
        _say(f"promoted: its files stand in {self._champion}; to go back, put the old files back")

    def begin_the_next(self, monday: Sequence[bytes]) -> None:
        """The day after: decided by the bundle that is now in force, in the same processes.

        Where one was promoted, the middle of the day is decided by the old one again: its files were put back.
        """
        _title("Monday")
        if not _before(self._champion).exists():
            self._decide(monday)
            return
        third = len(monday) // 3
        self._decide(monday[:third])
        _title("Monday noon: the old files are put back")
        _exchange(self._champion)
        self._decide(monday[third : 2 * third])
        _title("Monday evening: and the new ones again")
        _exchange(self._champion)
        self._decide(monday[2 * third :])

    def _decide(self, records: Sequence[bytes]) -> None:
        """The bundle whose files are in place has decided on `records`, in processes that never stopped."""
        from detector.verdict.bundle import read_manifest

        bundle = read_manifest(self._champion).version
        self._wait_until_taken(bundle)
        self._publish(records)
        in_force = self._in_force()
        _say(f"`control` says that {', '.join(sorted(in_force))} decided on it, in processes that never stopped")
        if in_force != {bundle}:
            raise Fatal(f"wanted {bundle} in force (got {in_force}): see {self._log}")
        if (starts := len(self._addresses("ingest")) + len(self._addresses("detect"))) != PROCESSES:
            raise Fatal(f"wanted {PROCESSES} processes that never stopped (got {starts} starts): see {self._log}")

    def _wait_until_taken(self, bundle: str) -> None:
        """The running detect says in its metrics that `bundle` is the model in force."""
        deadline_s = time.monotonic() + TAKEN_S
        address = self._addresses("detect")[-1]
        while (said := _model_info(address)) != {bundle}:
            if time.monotonic() > deadline_s:
                raise Fatal(f"wanted {bundle} in detector_model_info of {address} (got {said}): see {self._log}")
            time.sleep(LOOK_S)
        _say(f"{address}/metrics: detector_model_info says {bundle}")

    def _addresses(self, role: str) -> list[str]:
        """Where the processes of a role have answered, by the log, the newest last: each start is a line."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return re.findall(rf"\b{role}-\S+: .*/ready at (http://\S+)", text)

    def _publish(self, records: Sequence[bytes]) -> None:
        """The detector has decided on all of `records`."""
        # One partition, as one switch writes: a backlog that is read from several does not come in order of time.
        self._broker.publish(self._settings.sources[0].topic, [(None, record) for record in records], 0)
        self._wait_until_worked_off()
        _say("the detector has decided on all of them")

    def _do(self, *argv: object, wanted: int | None = 0) -> int:
        """With the configuration."""
        return _run(*argv, "--config", self._config, wanted=wanted)

    def _wait_until_worked_off(self) -> None:
        """Both roles have committed everything that stands in their topics."""
        topics, group = self._settings.topics, self._settings.group
        read = [(source.topic, "ingest") for source in self._settings.sources] + [(topics.events, "detect")]
        deadline_s = time.monotonic() + WORKED_OFF_S
        for topic, role in read:
            while not self._is_read(topic, f"{group}-{role}"):
                if time.monotonic() > deadline_s:
                    raise Fatal(f"{role} has not worked off {topic} within {WORKED_OFF_S:.0f} s: see detector.log")
                time.sleep(LOOK_S)

    def _is_read(self, topic: str, group: str) -> bool:
        from detector.broker import TopicPartition

        ats = [TopicPartition(topic, q) for q in range(self._broker.partitions()[topic])]
        try:
            done = self._broker.committed(group, ats)
        except Recoverable:  # a transaction is pending on them
            return False
        # Behind the last message stands the marker of its transaction: what counts is whether a message is left.
        return not any(any(self._broker.read(at, done[at] or 0, self._broker.watermarks(at)[1])) for at in ats)

    def _in_force(self) -> set[str]:
        """Of each partition, the model that decides: what `control` said last."""
        import msgspec

        from detector.broker import TopicPartition

        at = TopicPartition(self._settings.topics.control, 0)
        found: dict[int, tuple[int, str]] = {}
        for message in self._broker.read(at, *self._broker.watermarks(at)):
            said = msgspec.json.decode(message.value() or b"{}")
            if "partition" in said:
                found[said["partition"]] = max(found.get(said["partition"], (-1, "")), (said["offset"], said["model"]))
        return {model for _, model in found.values()}


def _configure(root: Path, champion: Path, address: str, seed: int) -> Path:
    """The demo's configuration on this Kafka, with everything that is written in `root`.

    The hold-out follows from the seed: it says who is labelled, and equal seeds are to give equal candidates.
    """
    import yaml

    tree: dict[str, Any] = read_yaml(ROOT / "configs" / "demo.yaml")
    name = f"weekly-{os.getpid()}-{time.time_ns():x}"
    tree["home"]["zones"] = str(ROOT / "configs" / tree["home"]["zones"])
    tree["group"], tree["kafka"] = name, {"bootstrap.servers": address}
    topics = ("events", "decisions", "history", "shadow", "commands", "control", "rejects", "labels", "vectors")
    tree["topics"] = {"partitions": PARTITIONS} | {topic: f"{name}.{topic}" for topic in topics}
    for source in tree["sources"]:
        source["topic"], source["mapping"] = f"{name}.records", str(ROOT / "configs" / source["mapping"])
    tree["detect"] |= {"snapshots": "snapshots", "vectors_every": VECTORS_EVERY}
    tree["model"]["bundle"] = "champion"
    tree["verdict"] |= {"policy": str(ROOT / "configs" / tree["verdict"]["policy"])}
    tree["verdict"] |= {"hold_out_share": 0.1, "hold_out_key": f"weekly-{seed}"}
    shutil.copytree(champion, root / "champion")
    path = root / "detector.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


@contextmanager
def _kafka() -> Iterator[str]:
    from detector.broker.local import LocalKafka

    _say("starting a Kafka")
    with LocalKafka() as kafka:
        yield kafka.address


@contextmanager
def _broker(settings: "Settings") -> "Iterator[Broker]":
    from detector.commands.common import open_kafka

    with open_kafka(settings) as broker:
        yield broker


@contextmanager
def _detector(config: Path, log: Path) -> Iterator[None]:
    """Both roles run, a process each; at the end they are asked to stop."""
    command = [sys.executable, "-m", "detector.cli", "run", "--config", str(config)]
    out("$ " + " ".join(["detector", *command[3:], f"> {log} &"]))
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield
        if process.poll() is not None:
            raise Fatal(f"the detector has ended with {process.returncode}: see {log}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DRAIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _fill_in(sheet: Path, frauds: "Sequence[NumberLabel]") -> int:
    """What analysts would find who look at a number on a day: the truth. Returns how many lines are fraud."""
    from detector.records import parse_number

    with sheet.open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file)
        names, rows = lines.fieldnames or (), list(lines)
    for row in rows:
        number, until_ms = parse_number(row["number"]), int(row["active_until_ms"])
        fraud = next((one for one in frauds if one.number == number and one.active_from_ms < until_ms), None)
        row["label"] = "fraud" if fraud else "honest"
        if fraud:
            row["type"], row["active_from_ms"] = fraud.type or "", str(fraud.active_from_ms)
            row["active_until_ms"] = str(fraud.active_until_ms or "")
    with sheet.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return sum(row["label"] == "fraud" for row in rows)


def _label_file(path: Path, week: "Week") -> None:
    from detector.learning.labelfile import write_labels

    write_labels(path, week.labels)


def _before(champion: Path) -> Path:
    """Where the bundle lies that was in force before, to go back to."""
    return champion.with_name("champion.before")


def _exchange(champion: Path) -> None:
    """The bundle in force and the one beside it change places; detect takes it when two looks see the same."""
    beside = champion.with_name("champion.beside")
    champion.rename(beside)
    _before(champion).rename(champion)
    beside.rename(_before(champion))


def _model_info(address: str) -> set[str]:
    """The models that a process says are in force; none where it does not answer."""
    from urllib.request import urlopen

    from prometheus_client.parser import text_string_to_metric_families

    try:
        with urlopen(f"{address}/metrics", timeout=ANSWER_S) as answer:
            text = answer.read().decode()
    except OSError:
        return set()
    families = text_string_to_metric_families(text)
    return {one.labels["version"] for family in families if family.name == MODEL_INFO for one in family.samples}


def _run(*argv: object, wanted: int | None = 0) -> int:
    """A command, as it is typed, and what it says; `Fatal` where it does not exit as `wanted`."""
    from detector.cli import main

    texts = [str(part) for part in argv]
    out("$ detector " + " ".join(texts))
    code = main(texts)
    if wanted is not None and code != wanted:
        raise Fatal(f"detector {texts[0]}: exit code {code}")
    return code


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()


def _title(text: str) -> None:
    out(f"\n== {text} ==")


def _say(text: str) -> None:
    out(f"# {text}")
