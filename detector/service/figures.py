"""Figures: what the metrics say of detect's batches, of the partitions it holds, and of drift.

Outcomes, Decisions -> Figures.batch                      -> counters and histograms of one step
Taken, Held         -> Figures.taken, .stands, .committed -> gauges of one partition, until it is .gone
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from detector.broker import Message
from detector.config import Settings
from detector.features.past import FORMS
from detector.features.state import Status
from detector.metrics import Metrics
from detector.pipeline import SHOWN, Outcome
from detector.service.drifting import Drifting
from detector.service.held import Held
from detector.service.restore import Taken
from detector.service.rules import Rules
from detector.service.telling import begin_at_zero, tell_settings
from detector.verdict.challenge import WHO
from detector.verdict.decisions import SEVERITY, Decision
from detector.verdict.manifest import LEVELS

ROLE: Final = "detect"
DRIFT_EVERY_S: Final = 10.0
"""Between two looks at drift, which moves by the hour: each sets sixty gauges."""
CASES_EVERY_S: Final = 1.0
"""Between two partitions whose decisions in force are counted: 10,000 of them take a millisecond."""


class Figures:
    """Of one detect process, as `settings` start it; `clock` gives UTC seconds."""

    def __init__(self, settings: Settings, metrics: Metrics, drifting: Drifting, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self.drifting = drifting
        """Of the model that scores: another is to have one of its own."""
        self._drift_told_s = self._cases_told_s = 0.0
        self._cases_told = -1
        """The partition whose decisions in force were counted last."""
        self._of_partition = (
            metrics.state_bytes,
            metrics.cases_bytes,
            metrics.restore_seconds,
            metrics.blocks_budget_left,
            metrics.committed_offset,
            metrics.heartbeat_timestamp,
        )
        tell_settings(metrics, settings)
        begin_at_zero(metrics)

    # Partitions.

    def assigned(self, held: int, restoring: int) -> None:
        """How many partitions are held, and how many of the group's are not yet."""
        self._metrics.assigned.labels(ROLE).set(held + restoring)
        self._metrics.replaying.set(restoring)

    def taken(self, taken: Taken) -> None:
        """A partition is restored."""
        partition = str(taken.part.number)
        self._metrics.restore_seconds.labels(partition).set(taken.seconds)
        self._metrics.committed_offset.labels(partition).set(taken.part.committed)
        if self._settings.ingest.heartbeat_s:  # one that never comes is missed too
            self._metrics.heartbeat_timestamp.labels(partition).set(self._clock())
        self._metrics.messages.inc(taken.messages)
        self._count_rows(taken.statuses)

    def gone(self, partition: int) -> None:
        """Nothing more is said of a partition that is another's."""
        for gauge in self._of_partition:
            gauge.remove(str(partition))
        for form in FORMS:
            self._metrics.numbers.remove(str(partition), form)
        for action in SEVERITY:
            self._metrics.in_force.remove(str(partition), action)

    def committed(self, held: Held) -> None:
        """Up to its position; its heartbeats have come from their topic to a commit."""
        partition, now = str(held.part.number), self._clock()
        self._metrics.committed_offset.labels(partition).set(held.position)
        for beat_ms in held.beats:
            self._metrics.heartbeat_seconds.observe(max(0.0, now - beat_ms / 1000))
            self._metrics.heartbeat_timestamp.labels(partition).set(now)

    def stands(self, held: Mapping[int, Held], touched: Iterable[int], rules: Rules) -> None:
        """What the partitions `touched` hold now; now and then drift, and what is in force in the next one `held`."""
        for partition in touched:
            part = held[partition].part
            left = rules.detector.judge.budget_left(partition, part.memory, part.coverage.newest_ms)
            for form, numbers in part.state.forms.items():
                self._metrics.numbers.labels(str(partition), form).set(numbers)
            self._metrics.state_bytes.labels(str(partition)).set(part.state.nbytes)
            self._metrics.cases_bytes.labels(str(partition)).set(part.memory.nbytes + part.shadow.nbytes)
            self._metrics.blocks_budget_left.labels(str(partition)).set(left)
        now = self._clock()
        if not 0 <= now - self._drift_told_s < DRIFT_EVERY_S:
            self._drift_told_s = now
            self._drift()
        if held and not 0 <= now - self._cases_told_s < CASES_EVERY_S:
            self._cases_told_s = now
            self._cases_told = min((q for q in held if q > self._cases_told), default=min(held))
            self._in_force(held[self._cases_told], rules)

    def _drift(self) -> None:
        metrics = self._metrics
        metrics.drift_vectors.set(self.drifting.vectors)
        found = self.drifting.stability()
        if not found:
            metrics.feature_drift.clear()
        for name, index in found.items():
            metrics.feature_drift.labels(name).set(index)

    def _in_force(self, held: Held, rules: Rules) -> None:
        """At its newest event time."""
        part = held.part
        # A kill switch frees nobody: what was decided before it still holds.
        all_shadow = rules.mode == self._settings.verdict.mode == "shadow"
        counts = (part.shadow if all_shadow else part.memory).count_in_force(part.coverage.newest_ms)
        for action in SEVERITY:
            self._metrics.in_force.labels(str(part.number), action).set(counts[action])

    # Batches.

    def batch(
        self,
        messages: Sequence[Message],
        outcomes: Sequence[Outcome],
        published: Sequence[Decision],
        at: tuple[float, float, float, float],
    ) -> None:
        """One step's `messages`, what came of them, what was `published`; `at`: began, polled, worked, done, in s."""
        metrics, now = self._metrics, self._clock()
        metrics.messages.inc(len(messages))
        if len(messages) > sum(len(outcome.beats) for outcome in outcomes):
            metrics.last_batch_timestamp.labels(ROLE).set(now)
            metrics.batch_size.labels(ROLE).observe(len(messages))
            metrics.latency_seconds.labels(ROLE).observe(max(0.0, now - messages[0].timestamp()[1] / 1000))
        newest_ms = max((outcome.newest_ms for outcome in outcomes), default=0)
        if newest_ms:
            metrics.lag_seconds.labels(ROLE).set(now - newest_ms / 1000)
        self._scores(outcomes)
        for outcome in outcomes:
            self._rows(outcome)
        for decision in published:
            metrics.decisions.labels(decision.action, decision.rule, decision.service).inc()
            for why in decision.held_back:
                metrics.held_back.labels(why).inc()
        began, polled, worked, done = at
        for stage, seconds in (("poll", polled - began), ("detect", worked - polled), ("publish", done - worked)):
            metrics.stage_seconds.labels(ROLE, stage).observe(seconds)

    def _scores(self, outcomes: Sequence[Outcome]) -> None:
        """Evenly drawn of all margins, so that a large batch costs no more than a small one."""
        margins = [margin for outcome in outcomes for margin in outcome.margins]
        for margin in margins[:: -(-len(margins) // SHOWN) or 1]:
            self._metrics.score.observe(margin)

    def _rows(self, outcome: Outcome) -> None:
        metrics = self._metrics
        metrics.scored.inc(outcome.scored)
        metrics.forgotten.inc(outcome.forgotten)
        metrics.evicted.inc(outcome.evicted)
        self._count_rows(outcome.statuses)
        if outcome.compared is not None:
            for level, counts in zip(LEVELS, outcome.compared.tolist(), strict=True):
                for who, count in zip(WHO, counts, strict=True):
                    metrics.challenger.labels(level, who).inc(count)
        if outcome.drawn is not None:
            self.drifting.add(outcome.drawn, outcome.newest_ms)
        for _, rejected in outcome.rejected:
            metrics.rejects.labels("events", rejected.reason.value).inc()

    def _count_rows(self, statuses: Sequence[int]) -> None:
        for status, count in zip(Status, statuses, strict=True):
            self._metrics.rows.labels(status.name.lower()).inc(count)
