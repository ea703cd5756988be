"""Intake: what the metrics say of ingest's batches, and of the partitions it holds.

Read, Rejected -> Intake.batch -> counters and histograms of one step, once it is committed
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from detector.broker import Message
from detector.config import Settings, Source
from detector.errors import Rejected
from detector.ingest.rows import Ingested, Raw
from detector.metrics import Metrics
from detector.service.receiving import tell_delays
from detector.service.telling import refuse_none, tell_settings

ROLE: Final = "ingest"
DELAYS_EVERY_S: Final = 1.0
"""Between two batches of a source whose receive delays are told of: of batches of 200 records it would take 4 %."""


class Read(NamedTuple):
    """What a source's messages of one batch came to."""

    source: Source
    raw: Raw
    result: Ingested


class Intake:
    """Of one ingest process, as `settings` start it; `clock` gives UTC seconds."""

    def __init__(self, settings: Settings, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._delays_told_s: dict[str, float] = {}
        """When the receive delays of each source were last told of."""
        tell_settings(metrics, settings)
        for source in settings.sources:
            metrics.records.labels(source.name)  # a source that is silent from the start is seen to be
        refuse_none(metrics, ("commands", *(source.name for source in settings.sources)))

    def moved(self, how: str, held: int) -> None:
        """Partitions were assigned, revoked or lost; so many are held now."""
        self._metrics.rebalances.labels(ROLE, how).inc()
        self._metrics.assigned.labels(ROLE).set(held)

    def batch(
        self,
        messages: Sequence[Message],
        reads: Sequence[Read],
        refused: Sequence[Rejected],
        at: tuple[float, float, float, float],
    ) -> None:
        """What a batch came to, once it is committed: what was aborted is read, and would be counted, again.

        `refused`: commands. `at`: when it began, was polled, worked through and published, in seconds of one clock.
        """
        metrics = self._metrics
        now = self._clock()
        newest_ms = 0
        for rejected in refused:
            metrics.rejects.labels("commands", rejected.reason.value).inc()
        for source, raw, result in reads:
            metrics.records.labels(source.name).inc(result.records)
            metrics.record_bytes.labels(source.name).inc(sum(map(len, filter(None, raw.values))))
            for record in result.rejected:
                metrics.rejects.labels(source.name, record.rejected.reason.value).inc()
            for why, count in result.skipped.items():
                metrics.skipped.labels(source.name, why).inc(count)
            metrics.names.inc(len(result.names))
            metrics.rows_out.inc(len(result.rows))
            if len(result.rows):
                if not 0 <= now - self._delays_told_s.get(source.name, 0.0) < DELAYS_EVERY_S:
                    self._delays_told_s[source.name] = now
                    tell_delays(metrics.receive_seconds, source.name, raw, result.rows)
                newest_ms = max(newest_ms, int(result.rows["event_ms"].max()))
        metrics.last_batch_timestamp.labels(ROLE).set(now)
        metrics.batch_size.labels(ROLE).observe(len(messages))
        metrics.latency_seconds.labels(ROLE).observe(max(0.0, now - messages[0].timestamp()[1] / 1000))
        if newest_ms:
            metrics.lag_seconds.labels(ROLE).set(now - newest_ms / 1000)
        began, polled, worked, published = at
        for stage, seconds in (("poll", polled - began), ("map", worked - polled), ("publish", published - worked)):
            metrics.stage_seconds.labels(ROLE, stage).observe(seconds)
