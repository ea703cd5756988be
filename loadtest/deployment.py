"""A deployment under measurement: a Kafka of its own with its topics, a configuration, and later the two roles.

deployment -> (prefill) -> Fleet -> Load, Prober -> what is measured
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import load
from detector.errors import Fatal
from loadtest.configuration import configure
from loadtest.fleet import Fleet, Worker
from loadtest.load import Written
from loadtest.packed import publish
from loadtest.population import Population
from loadtest.progress import Progress
from loadtest.scrape import Scraped, scrape

SOURCE_PARTITIONS: Final = 4
CHUNK: Final = 250_000
"""Records of one transaction of a prefill: well within its 10 s."""
START_S: Final = 90.0
WORK_OFF_S: Final = 1_800.0


@dataclass(kw_only=True)
class Deployment(Progress):
    """What the measuring commands share."""

    folder: Path
    config: Path
    kafka: LocalKafka

    def prefill(self, population: Population, days: float) -> Written:
        """Every number has been seen once, and then all of them for so many days of event time, as packed rows."""
        written, began = Written(0), time.monotonic()
        topics = self.settings.topics
        producer = self.broker.producer(f"{self.settings.group}-prefill")
        total = population.size + int(days * population.records_a_day)
        while written.records < total:
            first = written.records
            if first < population.size:
                drawn = population.census(first, range(first, min(first + CHUNK, population.size)))
            else:
                drawn = population.draw(first, min(CHUNK, total - first))
            written.rows += publish(producer, topics.events, topics.partitions, drawn)
            written.records += len(drawn)
        producer.close()
        written.per_s = written.records / (time.monotonic() - began)
        return written

    def told(self, fleet: Fleet, role: str) -> dict[str, Scraped]:
        """What each process of a role that answers says of itself, by its name."""
        told = {}
        for worker in fleet.of(role):
            try:
                told[worker.name] = scrape(worker.url)
            except (OSError, ValueError):  # it has just been started, or ended
                continue
        return told

    def owners(self, fleet: Fleet) -> dict[int, str]:
        """Which detect worker holds each partition, as they say themselves."""
        owners = {}
        for name, told in self.told(fleet, "detect").items():
            for partition in told.label_values("detector_numbers", "partition"):
                owners[int(partition)] = name
        return owners

    def wait_ready(self, fleet: Fleet, limit_s: float = START_S) -> None:
        """Every worker is assigned and at work; `Fatal` with their last words if that takes too long."""
        until = time.monotonic() + limit_s
        while not all(worker.is_ready() for worker in fleet.workers):
            if time.monotonic() > until:
                words = "\n".join(f"{one.name}: {one.last_words()}" for one in fleet.workers if not one.is_ready())
                raise Fatal(f"not every worker is ready after {limit_s:.0f} s:\n{words}")
            time.sleep(0.1)

    def work_off(self, role: str = "") -> None:
        """Everything that stands there is committed, by both roles or by one that runs alone."""
        if not (self.reach(role, self.ends(role), WORK_OFF_S) if role else self.reach_ends(WORK_OFF_S)):
            raise Fatal(f"the backlog was not worked off in {WORK_OFF_S:.0f} s")


@contextmanager
def deployment(folder: Path, instance: str, **sections: Mapping[str, Any]) -> Iterator[Deployment]:
    """A broker with all topics; nothing runs on it yet. Configured as shipped, but for `sections`."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with LocalKafka(data=folder / "kafka", heap="2g") as kafka:
        config = configure(folder, kafka.address, instance, **{name: dict(fields) for name, fields in sections.items()})
        settings = load(config)
        with closing(KafkaBroker(settings.kafka)) as broker:
            broker.create(topic_specs(settings, source_partitions=SOURCE_PARTITIONS))
            yield Deployment(
                settings=settings,
                broker=broker,
                source_partitions=SOURCE_PARTITIONS,
                folder=folder,
                config=config,
                kafka=kafka,
            )


def named(fleet: Fleet, name: str) -> Worker:
    """The worker of that name."""
    return next(worker for worker in fleet.workers if worker.name == name)
