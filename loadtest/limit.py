"""Limit: how fast records can be read at all. One consumer as ours reads all of them and does nothing.

    source -> consumer -> nothing

`python -m loadtest.limit CONFIG GROUP RECORDS` prints one line of JSON. It is a process of its own, so that nobody
else's Python is in its way. Beside a run it tells how much of what the machine gives, at that hour, the work leaves.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from detector.broker import TopicPartition
from detector.broker.kafka import KafkaBroker
from detector.config import ROOT, load
from detector.errors import Fatal
from loadtest.oracle import RECORDS
from loadtest.processes import peak_bytes

MOST: Final = 20_000
"""Records asked for at once, as `ingest.batch_records`."""
LIMIT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Limit:
    """What reading alone came to."""

    records_per_s: float
    cpu_s_per_million: float
    peak_bytes: int


class _FromTheStart:
    """Every partition is read from its first record."""

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Nothing is held."""

    lost = revoked


def limit(config: Path, group: str, records: int) -> Limit:
    """Read so many records of the source in a process of its own, as a group that nobody else has."""
    command = [sys.executable, "-m", "loadtest.limit", str(config.resolve()), group, f"{records}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise Fatal(f"the bare consumer ended with {done.returncode}")
    return Limit(**json.loads(done.stdout))


def read(config: Path, group: str, records: int) -> Limit:
    """Read them once; the clock runs from the first batch on, which does not count."""
    with closing(KafkaBroker(load(config).kafka)) as broker, closing(broker.consumer(group, "limit")) as consumer:
        consumer.subscribe([RECORDS], _FromTheStart())
        while not (first := len(consumer.poll(MOST, 1.0))):
            pass
        began, before, done = time.perf_counter(), time.process_time(), first
        while done < records:
            done += len(consumer.poll(MOST, 1.0))
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - before
    if records <= first:
        raise Fatal(f"all {records:,} records came at once: too few to measure")
    return Limit((records - first) / seconds, 1e6 * cpu_s / (records - first), peak_bytes(os.getpid()))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(read(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))) + "\n")
