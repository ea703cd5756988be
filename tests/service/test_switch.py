"""The mode that operators set: every worker takes it, and nothing is decided before it is known."""

import shutil
import time
from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.config import ROOT, Mode, Settings
from detector.errors import Recoverable
from detector.ingest.commands import ModeChange
from detector.metrics import Metrics
from detector.service import figures, switch, watch
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.service.orders import Orders
from detector.service.standing import told
from tests.service.harness import RECORDS, everything, settings_for, traffic
from tests.service.test_roles import broker_with, drain

SIZE = 12_000
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def records() -> list[bytes]:
    return traffic(SIZE)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Workers look at `control` in every step."""
    monkeypatch.setattr(switch, "LOOK_S", 0.0)
    return settings_for(tmp_path)


def change(mode: str, number: int = 1) -> ModeChange:
    return ModeChange(action="mode", mode=mode, actor="ana", reason="a bad rule", id=f"ana-{number}")  # type: ignore[arg-type]


def step_until_mode(detect: DetectRole, mode: str) -> None:
    until = time.monotonic() + LIMIT_S
    while detect.seen().mode != mode:
        assert time.monotonic() < until
        detect.step()


def more(broker: MemoryBroker, records: list[bytes]) -> None:
    broker.publish(RECORDS, [(None, value) for value in records], 0)


def published(broker: MemoryBroker, settings: Settings) -> tuple[int, int]:
    """How many decisions are in force or history, and aside."""
    topics = settings.topics
    return len(everything(broker, topics.history)), len(everything(broker, topics.shadow))


def test_a_kill_switch_turns_every_worker_to_shadow_and_back(settings: Settings, records: list[bytes]) -> None:
    """Two workers of one group; afterwards each partition says which order it follows."""
    half = SIZE // 2
    broker = broker_with(settings, records[:half])
    ingest = IngestRole(settings, broker, Metrics(), "0")
    workers = [DetectRole(settings, broker, Metrics(), str(i)) for i in range(2)]
    drain(ingest, *workers)
    assert {len(worker.seen().partitions) for worker in workers} == {2}
    before, aside = published(broker, settings)
    assert before > 0
    assert aside == 0
    orders = Orders(broker, settings.topics)
    orders.switch(change("shadow"))
    for worker in workers:
        step_until_mode(worker, "shadow")
    drain(*workers)
    assert {one.mode_change for one in told(broker, settings).values()} == {"ana-1"}, "not said before there are rows"
    more(broker, records[half : half + SIZE // 4])
    drain(ingest, *workers)
    killed, aside = published(broker, settings)
    assert killed == before
    assert aside > 0
    assert {(one.mode, one.mode_change) for one in told(broker, settings).values()} == {("shadow", "ana-1")}
    assert {one.instance for one in told(broker, settings).values()} == {"detect-0", "detect-1"}
    orders.switch(change("configured", 2))
    for worker in workers:
        step_until_mode(worker, "enforce")
    more(broker, records[half + SIZE // 4 :])
    drain(ingest, *workers)
    assert published(broker, settings)[0] > killed


def test_a_worker_that_starts_again_decides_nothing_before_it_knows_the_mode(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its configuration says enforce, `control` says shadow, and for a while `control` cannot be read."""
    broker = broker_with(settings, records)
    orders = Orders(broker, settings.topics)
    orders.switch(change("shadow"))
    reads: list[TopicPartition] = []
    read = MemoryBroker.read

    def away(self: MemoryBroker, at: TopicPartition, start: int, stop: int) -> object:
        if at.topic == settings.topics.control and len(reads) < 5:
            reads.append(at)
            raise Recoverable("the broker is away")
        return read(self, at, start, stop)

    monkeypatch.setattr(MemoryBroker, "read", away)
    pair = IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, Metrics(), "0")
    drain(*pair)
    assert len(reads) == 5
    live, aside = published(broker, settings)
    assert live == 0
    assert aside > 0


def test_a_kill_switch_works_whatever_has_become_of_the_files(
    settings: Settings, records: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy that made it necessary may be half written by then."""
    monkeypatch.setattr(watch, "LOOK_S", 0.0)
    shutil.copytree(ROOT / "configs" / "lists", tmp_path / "lists")
    policy = tmp_path / "policy.yaml"
    shutil.copy(ROOT / "configs" / "policy.yaml", policy)
    settings = replace(settings, verdict=replace(settings.verdict, policy=str(policy)))
    broker = broker_with(settings, records[: SIZE // 2])
    metrics = Metrics()
    pair = IngestRole(settings, broker, metrics, "0"), DetectRole(settings, broker, metrics, "0")
    drain(*pair)
    policy.write_text("rules: [")
    until = time.monotonic() + LIMIT_S
    while not metrics.value("reloads", outcome="failed"):
        assert time.monotonic() < until
        pair[1].step()
    Orders(broker, settings.topics).switch(change("shadow"))
    step_until_mode(pair[1], "shadow")
    assert metrics.value("reload_success") == 0, "another mode is no newer policy"
    before = published(broker, settings)
    more(broker, records[SIZE // 2 :])
    drain(*pair)
    after = published(broker, settings)
    assert after[0] == before[0]
    assert after[1] > before[1]


@pytest.mark.parametrize(("configured", "ordered"), [("shadow", "enforce"), ("enforce", "shadow")])
def test_what_is_told_to_be_in_force_is_what_enforcement_acts_on(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch, configured: Mode, ordered: Mode
) -> None:
    """Whatever mode is configured: an order makes decisions act, and a kill switch frees nobody."""
    monkeypatch.setattr(figures, "CASES_EVERY_S", 0.0)
    settings = replace(settings, verdict=replace(settings.verdict, mode=configured))
    broker, metrics = broker_with(settings, records[: SIZE // 2]), Metrics()
    pair = IngestRole(settings, broker, metrics, "0"), DetectRole(settings, broker, metrics, "0")
    drain(*pair)
    Orders(broker, settings.topics).switch(change(ordered))
    step_until_mode(pair[1], ordered)
    more(broker, records[SIZE // 2 :])
    drain(*pair)
    for number in range(settings.topics.partitions):  # each is counted in its turn, after a batch
        more(broker, records[number : number + 1])
        drain(*pair)
    live = [one for seen in pair[1].seen().partitions for one in seen.live if one.expires_at > seen.newest_ms]
    told_of = metrics.by_label("in_force", "action")
    assert told_of.get("block", 0) == sum(one.action == "block" for one in live) > 0


def test_the_change_is_kept_for_the_audit_and_is_no_reject(settings: Settings, records: list[bytes]) -> None:
    """It stands among the commands with actor and reason, and ingest passes over it."""
    broker = broker_with(settings, records[:100])
    Orders(broker, settings.topics).switch(change("flag"))
    metrics = Metrics()
    drain(IngestRole(settings, broker, metrics, "0"))
    assert [order for _, order in Orders(broker, settings.topics).given()] == [change("flag")]
    assert everything(broker, settings.topics.rejects) == []
    assert metrics.value("rejects", source="commands", reason="bad_command") == 0


def test_what_control_told_before_the_history_is_deleted_but_the_last_of_it(settings: Settings) -> None:
    """Nearly every key is new, and each worker reads all of it. Whoever takes a partition deletes what is its own.

    days ago        410  409  408 | 400  300        now
    partition 0 at  0    10   20  |      30         taken
    deleted         x    x        |
    """
    days_ago = [0.0]
    broker = MemoryBroker(clock=lambda: int((time.time() - days_ago[0] * 86_400) * 1_000))
    broker.create(topic_specs(settings))
    control = TopicPartition(settings.topics.control, 0)
    versions = {"mode": "enforce", "model": "m-1", "policy": "p-1", "instance": "detect-0"}
    for days_ago[0], offset in ((410, 0), (409, 10), (408, 20), (300, 30)):
        value = orjson.dumps(versions | {"partition": 0, "offset": offset})
        broker.publish(control.topic, [(b"0@%d" % offset, value)], 0)
    days_ago[0] = 0.0
    Orders(broker, settings.topics).switch(change("shadow"))
    for _ in range(2):
        detect = DetectRole(settings, broker, Metrics(), "0")
        drain(detect)
        assert detect.seen().mode == "shadow"
        detect.close()
        messages = broker.read(control, *broker.watermarks(control))
        assert [message.key() for message in messages if message.value() is None] == [b"0@0", b"0@10"]
