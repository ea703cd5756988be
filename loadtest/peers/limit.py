"""Limit: how fast records can be read at all. A consumer as ours reads all of them and does nothing.

`python -m loadtest.peers.limit CONFIG GROUP RECORDS` prints seconds from the first batch to the last record, the
processor time that it took, and the most memory that it held.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from detector.broker import TopicPartition
from detector.broker.kafka import KafkaBroker
from detector.config import load
from loadtest.oracle import RECORDS as SOURCE
from loadtest.processes import peak_bytes

MOST: Final = 20_000


class FromTheStart:
    """Takes whatever it is given."""

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """From the first record on."""
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Nothing is kept."""

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Nothing is kept."""


def main(config: Path, group: str, records: int) -> None:
    """Read them once; a limit on the time is the caller's."""
    with closing(KafkaBroker(load(config).kafka)) as broker, closing(broker.consumer(group, "limit")) as consumer:
        consumer.subscribe([SOURCE], FromTheStart())
        while not (first := len(consumer.poll(MOST, 1.0))):
            pass
        began, before, done = time.perf_counter(), time.process_time(), first
        while done < records:
            done += len(consumer.poll(MOST, 1.0))
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - before
    share = (records - first) / records
    sys.stdout.write(
        json.dumps({"seconds": seconds / share, "cpu_s": cpu_s / share, "peak": peak_bytes(os.getpid())}) + "\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
