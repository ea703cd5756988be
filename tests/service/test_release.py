"""Mass release: what words describe is counted and ended, once, and nothing else is."""

from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.config import Settings
from detector.errors import ConfigError
from detector.ingest.commands import Command, Ends
from detector.metrics import Metrics
from detector.service import Role
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.service.orders import Orders
from detector.service.release import Progress, Where, in_force, moment_ms, releases
from detector.units import HOUR_MS
from detector.verdict.decisions import Decision
from tests.service.harness import RECORDS, everything, settings_for, traffic
from tests.service.test_roles import drain

SIZE = 12_000


@pytest.fixture(scope="module")
def records() -> list[bytes]:
    return traffic(SIZE)


@pytest.fixture(scope="module")
def now_ms(records: list[bytes]) -> int:
    """When the traffic ends."""
    last = orjson.loads(records[-1])
    return int(last.get("start") or last["time"])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path)


@pytest.fixture
def broker(settings: Settings, records: list[bytes], now_ms: int) -> MemoryBroker:
    """Some traffic, on a broker whose clock stands where it ends."""
    broker = MemoryBroker(lambda: now_ms)
    broker.create(topic_specs(settings, source_partitions=1))
    broker.publish(RECORDS, [(None, value) for value in records], 0)
    return broker


@pytest.fixture
def roles(settings: Settings, broker: MemoryBroker) -> tuple[Role, Role]:
    """Who decided it."""
    pair = IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, Metrics(), "0")
    drain(*pair)
    return pair


def held(broker: MemoryBroker, settings: Settings, text: str, now_ms: int) -> list[Decision]:
    where = Where.read(text, now_ms)
    return [decision for decision in in_force(broker, settings, now_ms) if where.holds(decision)]


def test_all_of_a_rule_is_released_once_and_nothing_else(
    settings: Settings, broker: MemoryBroker, roles: tuple[Role, Role], now_ms: int
) -> None:
    """Given twice before anybody obeys, it releases each case once; the cases of other rules stay as they are."""
    every = list(in_force(broker, settings, now_ms))
    rule = max({one.rule for one in every}, key=lambda name: sum(one.rule == name for one in every))
    where = Where.read(f"rule={rule}", now_ms)
    found = [one for one in every if where.holds(one)]
    assert 1 < len(found) < len(every)
    progress = Progress(broker, settings)
    commands = list(releases(found, where, "ana", "a bad rule", None))
    again = list(releases(found, where, "bea", "a bad rule", None))
    assert [one.id for one in commands] == [one.id for one in again]
    assert len({one.id for one in commands}) == len(found)
    orders = Orders(broker, settings.topics)
    told: list[int] = []
    orders.give(commands, told.append)
    orders.give(again)
    assert told[-1] == len(found)
    assert progress.left(found, now_ms) == found
    history = len(everything(broker, settings.topics.history))
    drain(*roles)
    assert progress.left(found, now_ms) == []
    assert len(everything(broker, settings.topics.history)) == history + len(found)
    assert held(broker, settings, f"rule={rule}", now_ms) == []
    others = [one for one in every if not where.holds(one)]
    assert sorted(one.decision_id for one in in_force(broker, settings, now_ms)) == sorted(
        one.decision_id for one in others
    )


def test_what_somebody_else_has_decided_since_is_let_be(
    settings: Settings, broker: MemoryBroker, roles: tuple[Role, Role], now_ms: int
) -> None:
    """Between counting and obeying an operator blocks one of the numbers: that block stays."""
    one = next(one for one in in_force(broker, settings, now_ms))
    where = Where.read(f"rule={one.rule}", now_ms)
    block = Command("block", one.number, "bea", "fraud, on paper", "b-1", one.service, one.scope)
    orders = Orders(broker, settings.topics)
    orders.give([block])
    drain(*roles)
    orders.give(list(releases([one], where, "ana", "a bad rule", None)))
    drain(*roles)
    (now,) = [other for other in in_force(broker, settings, now_ms) if other.key() == one.key()]
    assert (now.action, now.source) == ("block", "operator:bea")
    assert held(broker, settings, "since=0", now_ms) == [
        other for other in in_force(broker, settings, now_ms) if other.source == "detector"
    ]
    assert [other.key() for other in held(broker, settings, "basis=operator", now_ms)] == [one.key()]


def test_words_describe_decisions(
    settings: Settings, broker: MemoryBroker, roles: tuple[Role, Role], now_ms: int
) -> None:
    """Each narrows what the others leave."""
    every = held(broker, settings, "since=0", now_ms)
    one = next(other for other in every[len(every) // 2 :] if other.number.startswith("+"))
    for text, holds in (
        (f"rule={one.rule}", lambda d: d.rule == one.rule),
        (f"model={one.model_version}", lambda d: d.model_version == one.model_version),
        (f"service={one.service},rule={one.rule}", lambda d: (d.service, d.rule) == (one.service, one.rule)),
        (f"since={one.since}", lambda d: d.since >= one.since),
        (f"until={one.since}", lambda d: d.since < one.since),
        (f"range={one.number.partition('@')[0][:6]}*", lambda d: d.number.startswith(one.number[:6])),
        (f"policy={one.policy_version},action=warn", lambda d: d.action == "warn"),
    ):
        assert held(broker, settings, text, now_ms) == [other for other in every if holds(other)]
    assert held(broker, settings, "since=0", now_ms + 400 * 24 * HOUR_MS) == []


@pytest.mark.parametrize("text", ["", "rule", "rule=", "colour=red", "range=999*", "since=yesterday", "rule=a,,"])
def test_words_that_are_not_understood_are_refused(text: str) -> None:
    """Or a slip would free everybody."""
    with pytest.raises(ConfigError, match="wanted"):
        Where.read(text, 0)


def test_times_are_written_in_several_ways() -> None:
    """So long ago, an ISO time, or milliseconds."""
    now_ms = 1_794_000_000_000
    assert moment_ms("90m", now_ms) == now_ms - 90 * 60_000
    assert moment_ms("7d", now_ms) == now_ms - 7 * 24 * HOUR_MS
    assert moment_ms("1970-01-01T01:00", now_ms) == moment_ms("1970-01-01T02:00+01:00", now_ms) == HOUR_MS
    assert moment_ms("17", now_ms) == 17


def test_a_renewed_block_is_still_the_one_that_was_meant(
    settings: Settings, broker: MemoryBroker, roles: tuple[Role, Role], now_ms: int
) -> None:
    """Attempts that go on renew a block between counting and obeying: that is no other decision."""
    one = next(one for one in in_force(broker, settings, now_ms) if one.action == "block")
    renewed = replace(one, decision_id="0-0-0-x", issued_at=one.issued_at + 1, version=one.version + 1, renewals=1)
    progress = Progress(broker, settings)
    at = next(q for q, key, _ in everything(broker, settings.topics.decisions) if key == one.key().encode())
    broker.publish(settings.topics.decisions, [(one.key().encode(), renewed.to_json())], at)
    assert progress.left([one], now_ms) == [one]
    (command,) = releases([renewed], Where.read("rule=x", now_ms), "ana", "why", 60)
    assert command.ends == Ends(rule=one.rule, since=one.since)
