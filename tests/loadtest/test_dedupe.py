"""The stated dedupe window, measured on the way that records take."""

from pathlib import Path

import pytest

from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.metrics import Metrics
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from loadtest.dedupe import STATED, TRIED, delivery
from loadtest.oracle import RECORDS
from tests.service.harness import settings_for


def test_a_record_is_known_again_after_up_to_fifteen_others_of_its_number(tmp_path: Path) -> None:
    """Itself and fifteen make sixteen. One more, and it counts twice: that is what the README says."""
    settings = settings_for(tmp_path)
    broker, metrics = MemoryBroker(), Metrics()
    broker.create(topic_specs(settings, source_partitions=1))
    ingest, detect = IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, metrics, "0")
    known = []
    for between in TRIED:
        before = metrics.value("rows", status="duplicate")
        values = delivery(between, "0007")
        broker.publish(RECORDS, [(None, value) for value in values], 0)
        while ingest.step() or detect.step() or ingest.step() or detect.step():
            pass
        known += [between] * int(metrics.value("rows", status="duplicate") - before)
    assert known == list(range(STATED))
    assert metrics.value("rows") == sum(len(delivery(between, "0007")) for between in TRIED)


@pytest.mark.parametrize("between", [0, 16])
def test_a_delivery_is_one_record_the_others_and_the_one_again(between: int) -> None:
    """Each with an id of its own."""
    values = delivery(between, "0007")
    assert len(values) == between + 2
    assert values[0] == values[-1]
    assert len(set(values)) == between + 1
