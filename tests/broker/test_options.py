"""librdkafka's settings: the user's win, except where a guarantee rests on ours."""

import pytest

from detector.broker.kafka import KafkaBroker
from detector.broker.options import ALWAYS, FETCH, MEMBER, OURS, SEND, member_options
from detector.config import KafkaOptions
from detector.errors import ConfigError

NOWHERE: KafkaOptions = {"bootstrap.servers": "127.0.0.1:1"}


def test_no_broker_is_a_bad_configuration() -> None:
    """Said before anything is tried."""
    with pytest.raises(ConfigError, match=r"kafka: bootstrap.servers: wanted host:port"):
        KafkaBroker({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("isolation.level", "read_uncommitted"),
        ("enable.auto.commit", True),
        ("auto.offset.reset", "earliest"),
        ("partition.assignment.strategy", "range"),
        ("enable.idempotence", False),
        ("acks", 1),
    ],
)
def test_a_setting_that_breaks_a_guarantee_is_refused(name: str, value: str | int | bool) -> None:
    """By name, with what it must be."""
    with pytest.raises(ConfigError, match=rf"kafka: {name}: must be {ALWAYS[name][0]}, .* \(got {value!r}\)"):
        KafkaBroker({**NOWHERE, name: value})


@pytest.mark.parametrize("name", OURS)
def test_a_setting_that_names_a_process_is_refused(name: str) -> None:
    """Two processes of one name would fence each other."""
    with pytest.raises(ConfigError, match=rf"kafka: {name}: is made from the instance's name"):
        KafkaBroker({**NOWHERE, name: "mine"})


def test_saying_what_is_so_anyway_is_allowed() -> None:
    """In YAML's words or librdkafka's."""
    KafkaBroker({**NOWHERE, "isolation.level": "read_committed", "enable.auto.commit": False, "acks": "all"}).close()


def test_a_setting_that_librdkafka_does_not_know_is_refused() -> None:
    """With librdkafka's own words."""
    with pytest.raises(ConfigError, match=r"kafka: .*no\.such\.setting"):
        KafkaBroker({**NOWHERE, "no.such.setting": 1})


def test_what_we_set_by_ourselves_keeps_the_guarantees() -> None:
    """The tables agree."""
    ours = {**FETCH, **MEMBER, **SEND}
    assert {name for name in ALWAYS if name in ours and str(ours[name]).lower() not in ALWAYS[name]} == set()


def test_the_new_group_protocol_leaves_sessions_to_the_broker() -> None:
    """librdkafka refuses what KIP-848 moved there."""
    assert set(member_options({"group.protocol": "consumer"})) == {"auto.offset.reset"}
    assert member_options(NOWHERE) == MEMBER
