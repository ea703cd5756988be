"""Balance of a long run: every record that stands in the source, against the rows and rejects that came of it.

A generator's record gives exactly two rows, or stands in the rejects once: so counting by source offset is enough,
and takes a byte a record. What rows say is the business of `oracle`.
"""

from dataclasses import dataclass

import numpy as np

from detector.broker import Broker, TopicPartition
from detector.config import Settings
from detector.ingest.rows import unpack_message
from detector.records import Kind
from loadtest.oracle import RECORDS, published_rejects

ROWS_A_RECORD = 2


@dataclass
class Balance:
    """What became of the records in the source."""

    records: int = 0
    rows: int = 0
    rejected: int = 0
    wrong: int = 0
    """Records that have neither two rows and no reject, nor none and one; and rows and rejects of nothing."""

    def unmet(self, written: int, broken: int) -> list[str]:
        """What differs from what the generator has written."""
        differences = (
            ("records in the source", written, self.records),
            ("rejects", broken, self.rejected),
            ("rows", ROWS_A_RECORD * (written - broken), self.rows),
            ("records that were lost, repeated or mixed up", 0, self.wrong),
        )
        return [f"{what}: wanted {wanted:,} (got {got:,})" for what, wanted, got in differences if wanted != got]


def balance(broker: Broker, settings: Settings) -> Balance:
    """Read the internal topic and the rejects once, from their beginning."""
    ends = [broker.watermarks(TopicPartition(RECORDS, p))[1] for p in range(broker.partitions()[RECORDS])]
    rows = [np.zeros(end, np.uint8) for end in ends]
    rejects = [np.zeros(end, np.uint8) for end in ends]
    source = next(one.id for one in settings.sources if one.topic == RECORDS)
    found = Balance(records=sum(ends))
    for q in range(settings.topics.partitions):
        at = TopicPartition(settings.topics.events, q)
        for message in broker.read(at, *broker.watermarks(at)):
            unpacked = unpack_message(message.value(), message.headers())
            if not isinstance(unpacked, np.ndarray):
                found.wrong += 1
                continue
            traffic = unpacked[(unpacked["kind"] != Kind.COMMAND) & (unpacked["source"] == source)]
            found.rows += len(traffic)
            for p in np.unique(traffic["partition"]).tolist():
                offsets = traffic["offset"][traffic["partition"] == p].astype(np.int64)
                known = offsets < ends[p]
                found.wrong += int(np.count_nonzero(~known))
                np.add.at(rows[p], offsets[known], 1)
    for q in range(broker.partitions()[settings.topics.rejects]):
        at = TopicPartition(settings.topics.rejects, q)
        for refusal, count in published_rejects(broker.read(at, *broker.watermarks(at))).items():
            found.rejected += count
            if refusal.topic == RECORDS:
                rejects[refusal.partition][refusal.offset] += count
            else:
                found.wrong += count
    for of_rows, of_rejects in zip(rows, rejects, strict=True):
        taken = (of_rows == ROWS_A_RECORD) & (of_rejects == 0)
        refused = (of_rows == 0) & (of_rejects == 1)
        found.wrong += int(np.count_nonzero(~(taken | refused)))
    return found
