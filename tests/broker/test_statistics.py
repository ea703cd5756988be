"""What a client of librdkafka says of itself is what is so."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing

import pytest

from detector.broker import TopicPartition, TopicSpec
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.statistics import Statistics, read_statistics

SAID = """{"type": "consumer", "msg_cnt": 0, "age": 1, "brokers": {
  "b:1/bootstrap": {"nodeid": -1, "source": "configured", "rtt": {"avg": 900, "p99": 950}},
  "b:1/1": {"nodeid": 1, "source": "learned", "rtt": {"avg": 1500, "p99": 4000}},
  "GroupCoordinator": {"nodeid": 1, "source": "logical", "rtt": {"avg": 700, "p99": 9000}},
  "b:2/2": {"nodeid": 2, "source": "learned", "rtt": {"avg": 0, "p99": 0}}},
 "topics": {"t": {"topic": "t", "partitions": {
  "-1": {"partition": -1, "fetch_state": "none", "ls_offset": -1001, "app_offset": -1001, "next_offset": 0},
  "0": {"partition": 0, "fetch_state": "active", "ls_offset": 100, "app_offset": 40,
        "fetchq_cnt": 30, "next_offset": 70},
  "1": {"partition": 1, "fetch_state": "active", "ls_offset": 50, "app_offset": -1001,
        "fetchq_cnt": 5, "next_offset": 25},
  "2": {"partition": 2, "fetch_state": "none", "ls_offset": 90, "app_offset": 10,
        "fetchq_cnt": 0, "next_offset": 10},
  "3": {"partition": 3, "fetch_state": "active", "ls_offset": 7, "app_offset": 9,
        "fetchq_cnt": 0, "next_offset": 9}}}}}"""


def test_lag_is_what_no_poll_has_given_of_partitions_that_are_read() -> None:
    """Not read any more: no lag of ours. Past the last stable offset, behind markers: none."""
    at = TopicPartition
    assert read_statistics(SAID).lags == {at("t", 0): 60, at("t", 1): 30, at("t", 3): 0}


def test_queue_and_round_trips() -> None:
    """Each partition tells of the queue that all share. Brokers that were asked something, the slower way to one."""
    said = read_statistics(SAID)
    assert said.queued == 30
    assert said.round_trips_s == {1: (0.0015, 0.004)}
    assert read_statistics('{"type": "producer", "msg_cnt": 12}').queued == 12


class Taking:
    """Takes whatever it is given."""

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        return {}

    def revoked(self, partitions: Sequence[TopicPartition]) -> None: ...

    def lost(self, partitions: Sequence[TopicPartition]) -> None: ...


@pytest.mark.kafka
def test_a_real_client_tells_its_lag(kafka: LocalKafka) -> None:
    """A hundred stand there and forty were polled: sixty lag, though the client has fetched them all."""
    told: list[Statistics] = []
    options = {**kafka.options, "statistics.interval.ms": 100}
    at = TopicPartition("statistics", 0)
    with closing(KafkaBroker(options, told.append)) as broker:
        broker.create([TopicSpec(at.topic, 1)])
        producer = broker.producer("statistics")
        for total in (30, 70):  # two transactions: their markers stand in the log and are nobody's lag
            producer.begin()
            for _ in range(total):
                producer.send(at.topic, 0, b"x")
            producer.commit({}, None)
        consumer = broker.consumer("statistics", "a", earliest=True)
        consumer.subscribe([at.topic], Taking())
        polled, until = 0, time.monotonic() + 30
        while polled < 40 and time.monotonic() < until:
            polled += len(consumer.poll(40 - polled, 0.1))
        consumer.pause([at])
        wanted = 61  # sixty, and the second transaction's marker
        for wanted, most in ((61, 0), (0, 60)):
            lags: list[int | None] = []
            while time.monotonic() < until and (lags or [None])[-1] != wanted:
                polled += len(consumer.poll(most or 1, 0.05))
                lags = [said.lags.get(at) for said in told if said.type == "consumer"]
            assert (lags or [None])[-1] == wanted
            consumer.resume([at])
        assert polled == 100
        assert {node for said in told for node in said.round_trips_s} == {1}
        consumer.close()
        producer.close()
