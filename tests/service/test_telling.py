"""What a process tells of its settings, its Kafka clients, its partitions and its files."""

from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.broker.statistics import Statistics, read_statistics
from detector.broker.topics import topic_specs
from detector.config import Settings
from detector.errors import Reason
from detector.metrics import Metrics
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.service.telling import Clients, settings_version, tell_settings
from detector.verdict.policy import Policy
from tests.service.harness import RECORDS, settings_for, traffic


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path)


def test_hosts_and_folders_do_not_make_another_configuration(settings: Settings) -> None:
    """Two hosts that are configured alike tell of one version; a setting that decides tells of another."""
    version = settings_version(settings)
    assert settings_version(replace(settings, instance="other", base="/elsewhere")) == version
    assert settings_version(replace(settings, verdict=replace(settings.verdict, mode="flag"))) != version
    assert settings_version(replace(settings, kafka={"security.protocol": "SSL"})) != version


def test_the_version_of_a_configuration_tells_nothing_of_its_secrets(settings: Settings) -> None:
    """It stands open at /metrics: passwords could be tried against it."""
    log, verdict, kafka = settings.log, settings.verdict, {**settings.kafka, "ssl.key.password": "p"}
    other = replace(settings, log=replace(log, pseudonym_key="k"), verdict=verdict, kafka=kafka)
    assert settings_version(other) == settings_version(settings)


def test_the_configuration_in_force_is_the_only_one_told(settings: Settings) -> None:
    """A process that tells anew does not seem to be two."""
    metrics = Metrics()
    for mode in ("flag", "enforce"):
        changed = replace(settings, verdict=replace(settings.verdict, mode=mode))
        tell_settings(metrics, changed)
    assert metrics.by_label("config_info", "version") == {settings_version(changed): 1}
    assert metrics.value("partitions") == settings.topics.partitions


def said(lags: dict[int, int]) -> Statistics:
    """What a consumer says that lags so in the partitions it reads."""
    partitions = ",".join(
        f'"{q}": {{"partition": {q}, "fetch_state": "active", "ls_offset": {lag}, "app_offset": 0}}'
        for q, lag in lags.items()
    )
    return read_statistics(f'{{"type": "consumer", "topics": {{"t": {{"partitions": {{{partitions}}}}}}}}}')


def test_lag_is_told_of_partitions_that_are_read_alone() -> None:
    """One that has gone to another worker has no lag here: it would stand for ever."""
    metrics = Metrics()
    clients = Clients(metrics, "detect")
    clients.tell(said({0: 5, 1: 7}))
    assert metrics.by_label("lag_records", "partition") == {"0": 5, "1": 7}
    clients.tell(said({1: 3, 2: 0}))
    assert metrics.by_label("lag_records", "partition") == {"1": 3, "2": 0}
    clients.tell(read_statistics('{"type": "producer", "msg_cnt": 4}'))
    assert metrics.by_label("lag_records", "partition") == {"1": 3, "2": 0}
    assert metrics.by_label("client_queue_messages", "client") == {"consumer": 0, "producer": 4}


def decision_series(metrics: Metrics) -> set[tuple[str, ...]]:
    """Action, rule and service of every series of decisions."""
    names = ("action", "rule", "service")
    samples = [s for family in metrics.decisions.collect() for s in family.samples if s.name.endswith("_total")]
    return {tuple(s.labels[name] for name in names) for s in samples}


def test_what_waits_behind_an_open_transaction_is_lag() -> None:
    """The stable offset stands still with the reader, while 400 messages have come."""
    text = (
        '{"type": "consumer", "topics": {"t": {"partitions": {"0": {"partition": 0, "fetch_state": "active", '
        '"app_offset": 100, "ls_offset": 100, "hi_offset": 500}}}}}'
    )
    assert read_statistics(text).lags == {TopicPartition("t", 0): 400}


def test_a_role_tells_of_what_it_holds_and_lets_go_of(settings: Settings) -> None:
    """Decisions in force, offsets, rebalances; nothing of a partition that has gone, and nobody's number."""
    metrics, clock = Metrics(), [1_794_300_000.0]
    broker = MemoryBroker(lambda: int(1000 * clock[0]))
    broker.create(topic_specs(settings))
    broker.publish(RECORDS, [(None, value) for value in traffic(12_000)], partition=0)
    ingest = IngestRole(settings, broker, metrics, "0", lambda: clock[0])
    detect = DetectRole(settings, broker, metrics, "0", lambda: clock[0])
    # Before the first event of any kind: an alert sees the first one as an increase.
    assert metrics.by_label("held_back", "why")["budget"] == metrics.by_label("snapshots", "outcome")["failed"] == 0
    assert RECORDS in metrics.by_label("records", "source")
    first = metrics.registry.get_sample_value
    for reason in Reason:
        for source in (RECORDS, "commands", "events"):
            assert first("detector_rejects_total", {"source": source, "reason": reason.value}) == 0
    rules = Policy.load(settings.path(settings.verdict.policy)).rules
    assert len(rules) > 3
    for rule in rules:
        service = rule.text.service or ("voice" if "call" in rule.text.kinds else "sms")
        for action in {rule.text.action, "flag"}:
            assert first("detector_decisions_total", {"action": action, "rule": rule.id, "service": service}) == 0
    before = decision_series(metrics)
    assert ("block", "operator", "sms") in before
    idle = 0
    while idle < 3:
        clock[0] += 1.0
        idle = 0 if ingest.step() + detect.step() else idle + 1
    held = [str(q) for q in range(settings.topics.partitions)]
    assert sorted(metrics.by_label("committed_offset", "partition")) == held
    assert metrics.value("in_force", action="block") > 0
    # None has appeared with its first decision.
    assert metrics.value("decisions") > 0
    assert decision_series(metrics) == before
    assert metrics.by_label("rebalances", "what")["assigned"] >= 2
    assert metrics.value("snapshot_bytes") > 0
    assert (metrics.value("reload_success"), metrics.value("reload_timestamp") > 0) == (1, True)
    trees = [orjson.loads(record) for record in traffic(12_000)]
    said_of = {tree[side] for tree in trees for side in ("from", "to") if tree.get(side)}
    assert len(said_of) > 100
    labels = {value for family in metrics.registry.collect() for s in family.samples for value in s.labels.values()}
    assert [label for label in labels if any(number.lstrip("+") in label for number in said_of)] == []
    detect.close()
    assert metrics.by_label("committed_offset", "partition") == metrics.by_label("in_force", "partition") == {}
    assert metrics.by_label("rebalances", "what")["revoked"] >= 1


def test_receive_delays_are_told_of_once_a_second(settings: Settings) -> None:
    """However small the batches: they are a part of each otherwise."""
    (source,) = settings.sources
    settings = replace(settings, sources=(replace(source, max_future_s=10**9),))
    metrics, clock = Metrics(), [1_794_300_000.0]
    broker = MemoryBroker(lambda: int(1000 * clock[0]))
    broker.create(topic_specs(settings))
    ingest = IngestRole(settings, broker, metrics, "0", lambda: clock[0])
    records = traffic(12_000)

    def told_of() -> float:
        samples = [s for family in metrics.receive_seconds.collect() for s in family.samples]
        return sum(s.value for s in samples if s.name.endswith("_count"))

    counts = []
    for batch in range(4):
        broker.publish(RECORDS, [(None, value) for value in records[10 * batch : 10 * batch + 10]], partition=0)
        while not ingest.step():
            pass
        counts.append(told_of())
        clock[0] += 0.4
    assert 0 < counts[0] == counts[1] == counts[2] < counts[3]
