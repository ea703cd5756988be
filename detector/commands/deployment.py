"""The deployment that `weekly` runs: both roles, and topics, a group and a bundle of its own, on a Kafka.

records -> publish -> the roles, a process each -> decisions
a bundle's files -> exchange -> wait_until_taken, by what the running detect says of itself
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from detector.commands.common import open_kafka, out
from detector.commands.narration import tell, typed
from detector.config import ROOT, load, read_yaml
from detector.errors import Fatal, Recoverable

if TYPE_CHECKING:
    from detector.broker import Broker
    from detector.config import Settings

PARTITIONS: Final = 4
VECTORS_EVERY: Final = 50
"""Of so small a network one vector in a thousand would be a handful."""
WORKED_OFF_S: Final = 600.0
TAKEN_S: Final = 60.0
"""Detect looks at its files every two seconds, and takes them when two looks see the same; on a busy machine later."""
LOOK_S: Final = 0.2
ANSWER_S: Final = 5.0
DRAIN_S: Final = 60.0
MODEL_INFO: Final = "detector_model_info"
ROLES: Final = ("ingest", "detect")


class Deployment:
    """It runs, configured by `config`; what its processes say goes to `log`."""

    def __init__(self, config: Path, log: Path, settings: "Settings", broker: "Broker") -> None:
        self.config = config
        self.log = log
        self.settings = settings
        self.broker = broker

    @property
    def bundle(self) -> Path:
        """The folder of the bundle in force."""
        return self.settings.path(self.settings.model.bundle)

    @property
    def before(self) -> Path:
        """Where the bundle lies that was in force before, to go back to; missing where none was."""
        return self.bundle.with_name("champion.before")

    def promote(self, candidate: Path) -> None:
        """The files of `candidate` stand where those of the bundle in force stood."""
        shutil.copytree(candidate, self.before)
        self.exchange()

    def exchange(self) -> None:
        """The bundle in force and the one before it change places; detect takes it when two looks see the same."""
        beside = self.bundle.with_name("champion.beside")
        self.bundle.rename(beside)
        self.before.rename(self.bundle)
        beside.rename(self.before)

    def publish(self, records: Sequence[bytes]) -> None:
        """All of `records` are published, and decided on."""
        # One partition, as one switch writes: a backlog that is read from several does not come in order of time.
        self.broker.publish(self.settings.sources[0].topic, [(None, record) for record in records], 0)
        self._wait_until_worked_off()

    def wait_until_taken(self, version: str) -> str:
        """The address at which the running detect says in its metrics that the bundle `version` is in force."""
        deadline_s = time.monotonic() + TAKEN_S
        address = self._addresses("detect")[-1]
        while (said := _model_info(address)) != {version}:
            if time.monotonic() > deadline_s:
                raise Fatal(f"wanted {version} in {MODEL_INFO} of {address} (got {said}): see {self.log}")
            time.sleep(LOOK_S)
        return address

    def insist_on_no_restart(self) -> None:
        """`Fatal` where a role was started more than once."""
        if (starts := sum(len(self._addresses(role)) for role in ROLES)) != len(ROLES):
            raise Fatal(f"wanted {len(ROLES)} processes that never stopped (got {starts} starts): see {self.log}")

    def in_force(self) -> set[str]:
        """Of each partition, the model that decides: what `control` said last."""
        import msgspec

        from detector.broker import TopicPartition

        at = TopicPartition(self.settings.topics.control, 0)
        found: dict[int, tuple[int, str]] = {}
        for message in self.broker.read(at, *self.broker.watermarks(at)):
            said = msgspec.json.decode(message.value() or b"{}")
            if "partition" in said:
                found[said["partition"]] = max(found.get(said["partition"], (-1, "")), (said["offset"], said["model"]))
        return {model for _, model in found.values()}

    def _addresses(self, role: str) -> list[str]:
        """Where the processes of a role have answered, by the log, the newest last: each start is a line."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return re.findall(rf"\b{role}-\S+: .*/ready at (http://\S+)", text)

    def _wait_until_worked_off(self) -> None:
        """Both roles have committed everything that stands in their topics."""
        topics, group = self.settings.topics, self.settings.group
        read = [(source.topic, "ingest") for source in self.settings.sources] + [(topics.events, "detect")]
        deadline_s = time.monotonic() + WORKED_OFF_S
        for topic, role in read:
            while not self._is_read(topic, f"{group}-{role}"):
                if time.monotonic() > deadline_s:
                    raise Fatal(f"{role} has not worked off {topic} within {WORKED_OFF_S:.0f} s: see {self.log}")
                time.sleep(LOOK_S)

    def _is_read(self, topic: str, group: str) -> bool:
        from detector.broker import TopicPartition

        ats = [TopicPartition(topic, q) for q in range(self.broker.partitions()[topic])]
        try:
            done = self.broker.committed(group, ats)
        except Recoverable:  # a transaction is pending on them
            return False
        # Behind the last message stands the marker of its transaction: what counts is whether a message is left.
        return not any(any(self.broker.read(at, done[at] or 0, self.broker.watermarks(at)[1])) for at in ats)


@contextmanager
def deployed(root: Path, champion: Path, address: str | None, seed: int) -> Iterator[Deployment]:
    """A deployment runs with everything that it writes in `root`; at the end its processes are asked to stop.

    `champion` is in force at first. The Kafka is the one at `address`, or one that is started for it.
    """
    with ExitStack() as stack:
        config = _configure(root, champion, address or stack.enter_context(_kafka()), seed)
        settings = load(config)
        broker = stack.enter_context(open_kafka(settings))
        typed("topics", "create", "--config", config)
        log = root / "detector.log"
        stack.enter_context(_processes(config, log))
        yield Deployment(config, log, settings, broker)


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

    tell("starting a Kafka")
    with LocalKafka() as kafka:
        yield kafka.address


@contextmanager
def _processes(config: Path, log: Path) -> Iterator[None]:
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
