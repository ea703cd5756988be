"""Ports and readiness of a role's process."""

from pathlib import Path

import pytest

from detector.broker.memory import MemoryBroker
from detector.broker.memory.producer import MemoryProducer
from detector.broker.topics import topic_specs
from detector.commands.roles import admin_port, builder, missing
from detector.config import ROOT, Settings, Source, load
from detector.errors import Recoverable
from detector.ingest.rows import SourceReader, open_source
from detector.metrics import Metrics
from tests.service.harness import RECORDS, settings_for


def local() -> Settings:
    """The settings of configs/local.yaml."""
    return load(Path(ROOT, "configs", "local.yaml"), environ={})


def test_no_two_processes_of_a_host_share_an_admin_port() -> None:
    """The roles take turns: nothing has to be set to run several of both on one machine."""
    settings = local()
    ports = [admin_port(settings, role, ordinal) for ordinal in range(3) for role in ("ingest", "detect")]
    assert ports == [9108, 9109, 9110, 9111, 9112, 9113]


def test_readiness_names_what_a_fresh_process_waits_for() -> None:
    """A detect process waits for the broker, its partitions and its model; ingest has none."""
    assert list(missing("detect", Metrics())) == ["broker", "assigned", "model"]
    assert list(missing("ingest", Metrics())) == ["broker", "assigned"]


def test_readiness_comes_when_everything_is_there_and_goes_with_the_broker() -> None:
    """The metrics that the role itself keeps decide."""
    metrics = Metrics()
    metrics.broker_up.set(1)
    metrics.assigned.labels("detect").set(4)
    metrics.model_info.labels("m-1", "true").set(1)
    assert missing("detect", metrics) == {}
    metrics.replaying.set(2)
    assert list(missing("detect", metrics)) == ["caught up"]
    metrics.replaying.set(0)
    metrics.broker_up.set(0)
    assert list(missing("detect", metrics)) == ["broker"]


class Slow(MemoryBroker):
    """Away when it is first asked, `times` times; it writes down when a producer is made."""

    def __init__(self, times: int, done: list[str]) -> None:
        super().__init__()
        self._times, self._done = times, done

    def partitions(self) -> dict[str, int]:
        if self._times:
            self._times -= 1
            raise Recoverable("away")
        return super().partitions()

    def producer(self, transactional_id: str) -> MemoryProducer:
        self._done.append("producer")
        return super().producer(transactional_id)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_ingest_reads_its_mappings_once_at_a_start_before_it_fences_anybody(
    times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once more where the broker is away, however often it is asked: that compiles, and files may change later."""
    done: list[str] = []

    def opened(settings: Settings, source: Source) -> SourceReader:
        done.append(source.name)
        return open_source(settings, source)

    monkeypatch.setattr("detector.service.readers.open_source", opened)
    settings, broker = settings_for(tmp_path), Slow(times, done)
    broker.create(topic_specs(settings))
    build = builder("ingest", settings, broker, Metrics(), "0", None)
    for _ in range(times):
        with pytest.raises(Recoverable):
            build()
        assert done == [RECORDS]
    done.clear()
    build().close()
    assert done == [RECORDS, "producer"]
