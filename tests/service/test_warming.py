"""A detect worker has its kernels before it joins its group: no row of its partitions waits for a compiler."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
import yaml

from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import ROOT, load
from loadtest.fleet import Fleet, Worker
from loadtest.scrape import scrape
from tests.service.harness import settings_tree, traffic

LIMIT_S: Final = 300.0
"""A machine with other things to do compiles for minutes."""

JOINED = """
import sys
from pathlib import Path
from msgspec.structs import replace
from numba.core.registry import CPUDispatcher
from detector.admin import Desk
from detector.broker.memory import MemoryBroker
from detector.metrics import Metrics
from detector.records import parse_number
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.service.warming import warm_up
from tests.service.harness import RECORDS, settings_for, traffic
from tests.service.test_roles import broker_with, drain, published_decisions


def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("detector.")]
    kernels = {thing for module in modules for thing in vars(module).values() if isinstance(thing, CPUDispatcher)}
    # Ingest, which is here to write rows, compiles its own before it joins.
    return sum(len(kernel.signatures) for kernel in kernels if ".ingest." not in kernel.__module__)


settings = settings_for(Path(sys.argv[1]))
settings = replace(settings, model=replace(settings.model, challenger=settings.model.bundle))
values = traffic(6_000)
broker, seen = broker_with(settings, values[:1]), [compiled()]
join = broker.consumer


def consumer(group, instance, **options):
    if group.endswith("-detect"):
        seen.append(compiled())
    return join(group, instance, **options)


broker.consumer = consumer
desk = Desk()
warm_up(settings)
ingest, detect = IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, Metrics(), "0", desk=desk)
drain(ingest, detect)  # a batch of one record
broker.publish(RECORDS, [(None, value) for value in values[1:]], 0)
drain(ingest, detect)
decided = published_decisions(broker, settings)
detect.number_seen(parse_number("+999712345678"))
seen.append(compiled())
detect.close()
again = DetectRole(settings, broker, Metrics(), "0")  # from its snapshots
drain(again)
again.close()
seen.append(compiled())
print(len(decided), *seen)
"""


def test_after_it_has_joined_nothing_is_compiled(tmp_path: Path) -> None:
    """Not for a batch of one row or of many that are decided on, a question or a restore; in a process of its own."""
    argv = [sys.executable, "-c", JOINED, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT)
    decided, cold, joined, worked, restored, again = map(int, done.stdout.split())
    assert decided > 0
    assert cold < joined == worked == restored == again


def compiled(cache: Path) -> int:
    """Kernels in a cache."""
    return len(list(cache.rglob("*.nbc")))


@pytest.mark.kafka
@pytest.mark.slow
def test_a_worker_without_kernels_takes_no_partition_before_it_has_them(kafka: LocalKafka, tmp_path: Path) -> None:
    """On a real broker: meanwhile the other one keeps all of them, and afterwards nothing more is compiled."""
    tree = settings_tree(tmp_path, **{"bootstrap.servers": kafka.address})
    names = ("events", "decisions", "history", "shadow", "commands", "control", "rejects", "vectors", "labels")
    tree |= {"group": "warming", "topics": {"partitions": 4} | {name: f"warming.{name}" for name in names}}
    tree["sources"][0] |= {"topic": "warming.records"}  # type: ignore[index]
    config, cache = tmp_path / "warming.yaml", tmp_path / "kernels"
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    settings = load(config, {})
    with closing(KafkaBroker(settings.kafka)) as broker, Fleet(config, {"ingest": 1, "detect": 1}) as fleet:
        broker.create(topic_specs(settings))
        old = fleet.of("detect")[0]
        until("the first is ready", old.is_ready)
        new = fleet.join("detect", {"NUMBA_CACHE_DIR": str(cache)})
        until("it answers", lambda: new.url)
        seen = []
        while not new.is_ready():
            seen.append((compiled(cache), assigned(old)))
            time.sleep(0.2)
        ready = compiled(cache)
        # Those that it compiles before it joins are all: until then the other one lacks none.
        assert any(had < ready for had, _ in seen)
        assert [held for had, held in seen if had < ready and held < 4] == []
        broker.publish("warming.records", [(None, value) for value in traffic(3_000)])
        until("it has decided", lambda: scrape(new.url).total("detector_decisions_total"))
        assert compiled(cache) == ready > 10
        assert set(fleet.stop().values()) == {0}


@pytest.mark.slow
def test_a_process_without_kernels_has_them_before_it_misses_the_broker(tmp_path: Path) -> None:
    """Else it would compile when the broker is back: its loop would stand still, and it would be killed.

    Ingest has the fewer kernels; both roles are built alike.
    """
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        tree = settings_tree(tmp_path, **{"bootstrap.servers": f"127.0.0.1:{nobody.getsockname()[1]}"})
        config, cache = tmp_path / "away.yaml", tmp_path / "kernels"
        config.write_text(yaml.safe_dump(tree), encoding="utf-8")
        with Fleet(config, 0) as fleet:
            worker = fleet.join("ingest", {"NUMBA_CACHE_DIR": str(cache)})
            until("it has missed the broker", lambda: "broker away" in worker.log.read_text(encoding="utf-8"))
            assert compiled(cache) > 10
            assert worker.is_healthy()


def assigned(worker: Worker) -> float:
    """Partitions that a process holds."""
    return scrape(worker.url).total("detector_assigned", role="detect")


def until(what: str, is_so: Callable[[], object]) -> None:
    """Waits for it."""
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.2)
