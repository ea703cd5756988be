"""The topics that there must be, and what is said where one is missing or another."""

import msgspec
import pytest

from detector.broker import TopicSpec
from detector.broker.memory import MemoryBroker
from detector.broker.topics import check_topics, topic_specs
from detector.config import Home, Ingest, Settings, Source, Topics
from detector.errors import ConfigError
from detector.ingest.commands import LONGEST_LIFE_S
from detector.units import DAY_MS
from detector.verdict.memory import KEEP_MS

SETTINGS = Settings(
    home=Home(country_code="999"),
    sources=(Source(name="plain", id=1, topic="records", mapping="plain.yaml"),),
    topics=Topics(partitions=6, replication=3),
)
SPECS = {spec.name: spec for spec in topic_specs(SETTINGS)}


def made(*specs: TopicSpec) -> MemoryBroker:
    """A broker with these topics."""
    broker = MemoryBroker()
    broker.create(specs)
    return broker


def test_our_nine_topics_come_with_the_sources() -> None:
    """Partition q of all four numbered topics is about the same numbers."""
    assert {name: spec.partitions for name, spec in SPECS.items()} == {
        "events.by-number": 6,
        "decisions": 6,
        "decisions.history": 6,
        "decisions.shadow": 6,
        "commands": 6,
        "control": 1,
        "rejects": 6,
        "labels": 6,
        "vectors": 6,
        "records": 6,
    }
    assert {spec.replication for spec in SPECS.values()} == {3}


def test_a_sources_topic_is_made_as_large_as_asked_and_kept_as_the_cluster_says() -> None:
    """How long a carrier keeps its records is its own choice; whose clock says when they came is not a switch's."""
    *_, source = topic_specs(SETTINGS, source_partitions=3)
    assert source == TopicSpec("records", 3, 3, {"message.timestamp.type": "LogAppendTime"})


def test_events_outlive_the_longest_window() -> None:
    """Seven days, and two to mend what stands still."""
    assert SPECS["events.by-number"].config["retention.ms"] == str(9 * DAY_MS)
    assert SPECS["events.by-number"].config["cleanup.policy"] == "delete"


@pytest.mark.parametrize("name", ["decisions", "decisions.shadow"])
def test_decisions_in_force_are_compacted_and_deleted_later_than_they_end(name: str) -> None:
    """Not before two hours, so that enforcement that was away sees what was superseded."""
    config = SPECS[name].config
    assert config["cleanup.policy"] == "compact,delete"
    assert config["min.compaction.lag.ms"] == "7200000"
    assert int(config["retention.ms"]) == 97 * DAY_MS == 1_000 * LONGEST_LIFE_S + KEEP_MS


@pytest.mark.parametrize(("replication", "wanted"), [(1, "1"), (2, "1"), (3, "2")])
def test_one_replica_may_be_away(replication: int, wanted: str) -> None:
    """And no more, or acks=all would promise nothing."""
    settings = msgspec.structs.replace(SETTINGS, topics=Topics(replication=replication))
    assert {spec.config["min.insync.replicas"] for spec in topic_specs(settings)[:9]} == {wanted}


def test_heartbeats_have_a_topic_where_they_are_asked_for() -> None:
    """As many partitions as the rows have: each is told of apart. None expires below an offset that is committed."""
    settings = msgspec.structs.replace(SETTINGS, ingest=Ingest(heartbeat_s=10))
    specs = {spec.name: spec for spec in topic_specs(settings)}
    assert specs.keys() - SPECS.keys() == {"heartbeats"}
    assert (specs["heartbeats"].partitions, specs["heartbeats"].config["cleanup.policy"]) == (6, "compact")
    assert "retention.ms" not in specs["heartbeats"].config
    others = [spec for name, spec in specs.items() if name != "heartbeats"]
    with pytest.raises(ConfigError, match=r"no topic heartbeats: `detector topics create`"):
        check_topics(made(*others), settings)
    with pytest.raises(ConfigError, match=r"topic heartbeats: wanted 6 partitions \(got 1\)"):
        check_topics(made(*others, TopicSpec("heartbeats", 1)), settings)


def test_topics_as_they_must_be_pass() -> None:
    """A source's topic and the commands may have any number of partitions."""
    check_topics(made(*topic_specs(SETTINGS, source_partitions=17)), SETTINGS)


def test_missing_topics_are_named_with_the_command_that_makes_them() -> None:
    """All of them at once."""
    specs = [spec for name, spec in SPECS.items() if name not in ("decisions.history", "records")]
    with pytest.raises(ConfigError) as caught:
        check_topics(made(*specs), SETTINGS)
    assert str(caught.value) == "no topic decisions.history, records: `detector topics create` makes what is missing"


@pytest.mark.parametrize("name", ["events.by-number", "decisions", "decisions.history", "decisions.shadow"])
def test_another_number_of_partitions_is_refused(name: str) -> None:
    """A number's rows and decisions would stand in different partitions."""
    specs = [*(spec for spec in SPECS.values() if spec.name != name), TopicSpec(name, 5)]
    with pytest.raises(ConfigError, match=rf"topic {name}: wanted 6 partitions \(got 5\)\n.* topics.partitions"):
        check_topics(made(*specs), SETTINGS)


def test_control_has_one_partition() -> None:
    """Its entries have one order."""
    specs = [*(spec for spec in SPECS.values() if spec.name != "control"), TopicSpec("control", 2)]
    with pytest.raises(ConfigError, match=r"topic control: wanted 1 partition \(got 2\)"):
        check_topics(made(*specs), SETTINGS)
