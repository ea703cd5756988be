"""The detect role: rows of the partitions held become state and decisions."""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

import numpy as np
import orjson

from detector.admin import Desk
from detector.admin.seen import Elsewhere, NumberSeen, Worker, WorkerSeen
from detector.broker import Broker, Message, TopicPartition
from detector.broker.entries import entry_of
from detector.config import Settings
from detector.errors import Abort, Fatal
from detector.metrics import Metrics
from detector.pipeline import Outcome
from detector.service.aside import Aside, Executor
from detector.service.asked import number_seen, partition_seen
from detector.service.driftfile import DriftFile
from detector.service.drifting import Drifting
from detector.service.figures import ROLE, Figures
from detector.service.held import Held
from detector.service.outbox import ATTEMPTS, Outbox, Output, fitting, settling_s
from detector.service.rejects import reject_output
from detector.service.restore import Restorer
from detector.service.rules import watch_rules
from detector.service.saving import Saver
from detector.service.saying import tell_aborted, tell_assigned, tell_decided, tell_revoked
from detector.service.switch import Switch
from detector.service.taking import THREADS, Taking
from detector.snapshot import open_store
from detector.verdict.decisions import Decision
from detector.verdict.served import pack_served

log = logging.getLogger(__name__)

RECENT: Final = 50
"""Decisions kept to be looked at."""


class DetectRole:
    """Holds the state of its partitions; outputs are kept until their transaction is committed."""

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        metrics: Metrics,
        instance: str,
        clock: Callable[[], float] = time.time,
        executor: Callable[[int, str], Executor] = Aside,
        desk: "Desk[Worker] | None" = None,
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._metrics = metrics
        self._clock = clock
        self._instance = f"{ROLE}-{instance}"
        self._desk = desk
        self._recent: deque[Decision] = deque(maxlen=RECENT)
        identity = f"{settings.group}-{ROLE}-{instance}"
        # Before anything else: whoever is started again is back in its place before its session ends, long as
        # loading takes. What a broker that is away makes fail is all in here, most of it before this worker joins: it
        # is tried again, and nothing of it may be left then.
        with ExitStack() as made:
            self._consumer = broker.consumer(f"{settings.group}-{ROLE}", identity)
            made.callback(self._consumer.close)
            store = open_store(settings, broker.identity(settings.topics.events))
            self._consumer.subscribe([settings.topics.events], self)
            self._outbox = Outbox(broker.producer(identity), metrics, ROLE)
            made.pop_all()
        self._watch = watch_rules(settings, executor(1, "rules"), metrics)
        self._rules = self._watch.in_force
        if desk is not None:
            desk.open()
        self._rules.tell(metrics)
        self._switch = Switch(settings, broker, executor(1, "mode"))
        self._drift_file = DriftFile(store.drift(self._instance), executor(1, "drift"))
        self._figures = Figures(settings, metrics, self._drift_file.load(self._rules.model), clock)
        self._taking = Taking(Restorer(settings, broker, self._rules.detector, store), executor(THREADS, "restore"))
        self._held: dict[int, Held] = {}
        self._carried: list[Message] = []
        """Polled while an aborted transaction settled, for the next step."""
        self._wait_s = settings.detect.wait_ms / 1000
        self._saver = Saver(store, settings.detect, metrics, clock, executor(1, "snapshot"))

    # Partitions come and go, from within a poll.

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, None]:
        """Each partition begins to be restored; none is read until it is."""
        self._metrics.rebalances.labels(ROLE, "assigned").inc()
        tell_assigned(log, partitions)
        for at in partitions:
            self._taking.begin(at.partition)
        self._count()
        return dict.fromkeys(partitions)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """What is committed begins to be snapshotted for the next holder, and all is dropped."""
        for at in partitions:
            if at.partition in self._held:
                self._saver.hand_over(self._held[at.partition])
        self._metrics.rebalances.labels(ROLE, "revoked").inc()
        self._let_go(partitions)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Arrays and outputs of these partitions are gone: they are another worker's."""
        self._metrics.rebalances.labels(ROLE, "lost").inc()
        self._let_go(partitions)

    def _let_go(self, partitions: Sequence[TopicPartition]) -> None:
        tell_revoked(log, partitions)
        gone = {at.partition for at in partitions}
        self._carried = [message for message in self._carried if message.partition() not in gone]
        for at in partitions:
            self._taking.drop(at.partition)
            self._held.pop(at.partition, None)
            self._figures.gone(at.partition)
        self._count()

    def _count(self) -> None:
        self._figures.assigned(len(self._held), len(self._taking))

    # One step.

    def step(self) -> int:
        """One batch of rows is state and published decisions, with its offsets committed.

        Partitions that are being restored count like messages: there is still something to come.
        """
        self._take_over()
        self._take_up()
        if self._desk is not None:
            self._desk.answer(self)
        began = time.perf_counter()
        most = self._settings.detect.batch_messages
        polled_now = self._poll(max(1, most - len(self._carried)), 0.0 if self._carried else self._wait_s)
        messages = self._carried + polled_now  # only now: the poll may have lost partitions of what was carried
        self._carried = []
        metadata = self._consumer.group_metadata()
        polled = time.perf_counter()
        by_partition: dict[int, list[Message]] = {}
        for message in messages:
            by_partition.setdefault(message.partition(), []).append(message)
        outcomes = []
        for partition, batch in by_partition.items():
            held = self._held.get(partition)
            if held is not None:
                outcomes.append(self._process(held, batch))
        worked = time.perf_counter()
        published = self._publish(metadata)
        done = time.perf_counter()
        if messages:
            self._recent.extend(published)
            tell_decided(log, published)
            self._figures.batch(messages, outcomes, published, (began, polled, worked, done))
            self._figures.stands(self._held, by_partition.keys() & self._held.keys(), self._rules)
            self._drift_file.save(self._figures.drifting, self._clock())
        self._saver.save_one(list(self._held.values()))
        return len(messages) + len(self._taking)

    def _take_over(self) -> None:
        """Newer rules, or another mode, decide on every row from here on; `control` says so of each partition."""
        newer, changed = self._watch.newer(), self._switch.look()
        if newer is None and not changed:
            return
        model = self._rules.model.version
        self._rules = (newer or self._rules).in_mode(self._switch.mode)
        self._rules.tell(self._metrics)
        if self._rules.model.version != model:  # of another policy, list or zone the day goes on being counted
            self._figures.drifting = Drifting(self._rules.model)
        for held in self._held.values():
            held.outputs.append(self._in_force(held.part.number, held.position))

    def _take_up(self) -> None:
        """Partitions whose restore is done are read on from where their state stands, once the mode is known."""
        if not self._switch.known:
            return
        starts = {}
        for taken in self._taking.done():
            part = taken.part
            replayed = sum(taken.statuses)
            held = Held(part, taken.position, part.committed, rows_since_snapshot=replayed, snapshot_at=self._clock())
            held.outputs.append(self._in_force(part.number, part.committed))
            control = self._settings.topics.control
            held.outputs += [Output(control, 0, None, key) for key in self._switch.take_old(part.number)]
            self._held[part.number] = held
            starts[TopicPartition(self._settings.topics.events, part.number)] = taken.position
            self._figures.taken(taken)
        if starts:
            self._consumer.start(starts)
            self._count()

    def _poll(self, most: int, wait_s: float) -> list[Message]:
        return self._consumer.poll(most, wait_s)

    def _process(self, held: Held, batch: Sequence[Message]) -> Outcome:
        topics = self._settings.topics
        entries = [entry_of(message) for message in batch if message.offset() >= held.position]
        if not entries:
            return Outcome()
        outcome = self._rules.detector.process(held.part, entries)
        at = TopicPartition(topics.events, held.part.number)
        values = {entry.offset: entry.value for entry in entries} if outcome.rejected else {}
        for offset, rejected in outcome.rejected:
            if offset >= held.part.committed:
                held.outputs.append(reject_output(topics.rejects, rejected, values[offset], at, offset, "events", ""))
        for decision in outcome.decisions:
            held.outputs += self._decided(decision, held.part.number)
        if outcome.served:
            # The broker's choice: one for all that a batch keeps, where each more would need a marker of its own.
            pack = partial(pack_served, model=self._rules.model.version)
            held.outputs += fitting(topics.vectors, None, np.concatenate(outcome.served), pack)
        held.decisions += outcome.decisions
        held.beats += outcome.beats
        held.position = entries[-1].offset + 1
        held.rows_since_snapshot += sum(outcome.statuses)
        return outcome

    def _decided(self, decision: Decision, partition: int) -> list[Output]:
        topics = self._settings.topics
        key, value = decision.key().encode(), decision.to_json()
        where = (topics.shadow,) if decision.mode == "shadow" else (topics.decisions, topics.history)
        return [Output(topic, partition, value, key) for topic in where]

    def _in_force(self, partition: int, offset: int) -> Output:
        """For an audit: from which offset on which mode, model, policy and limit of numbers decided, and where."""
        change, most_numbers = self._switch.change, self._settings.detect.most_numbers
        value = {
            "partition": partition,
            "offset": offset,
            **self._rules.versions(),
            "most_numbers": most_numbers,
            "mode_change": change.id if change else None,
            "instance": self._instance,
        }
        key = f"{partition}@{offset}"
        return Output(self._settings.topics.control, 0, orjson.dumps(value, option=orjson.OPT_SORT_KEYS), key.encode())

    def _publish(self, metadata: object) -> list[Decision]:
        """Kept outputs and offsets are committed; returns the decisions among them.

        1. Publish everything kept, with the metadata of the poll that gave the batch.
        2. Aborted: poll for a while, so that revocations arrive and drop what is no longer ours.
        3. Publish what is left again, with fresh metadata; after 8 attempts, give up.
        """
        for attempt in range(1, ATTEMPTS + 1):
            # Without rows too: who holds a partition, and in which mode, is said at once.
            ready = {q: held for q, held in self._held.items() if held.position > held.committed or held.outputs}
            offsets = {TopicPartition(self._settings.topics.events, q): held.position for q, held in ready.items()}
            if not offsets:
                return []
            try:
                self._outbox.publish([output for held in ready.values() for output in held.outputs], offsets, metadata)
            except Abort as error:
                tell_aborted(log, attempt, error)
                if attempt == ATTEMPTS:
                    raise Fatal(f"{ATTEMPTS} transactions in a row could not commit: {error}") from error
                self._settle(settling_s(attempt))  # 2
                metadata = self._consumer.group_metadata()  # 3
                continue
            published = [decision for held in ready.values() for decision in held.decisions]
            for held in ready.values():
                self._figures.committed(held)
                held.outputs, held.decisions, held.beats, held.committed = [], [], [], held.position
            return published
        return []

    def _settle(self, seconds: float) -> None:
        """Poll for so long. What the polls give is carried to the next step, a batch of it at most.

        Only then does what is held stand still: librdkafka takes about a second to read on from a pause.
        """
        topic, most = self._settings.topics.events, self._settings.detect.batch_messages
        paused: list[TopicPartition] = []
        settled = time.monotonic() + seconds
        try:
            while (left_s := settled - time.monotonic()) > 0:
                room = most - len(self._carried)
                if room <= 0 and not paused:
                    paused = [TopicPartition(topic, q) for q in self._held]
                    self._consumer.pause(paused)
                polled = self._poll(max(1, room), min(left_s, self._wait_s))
                if polled and paused:
                    raise Fatal("a partition that is paused gave messages: they would be lost")
                self._carried += polled
        finally:
            self._consumer.resume([at for at in paused if at.partition in self._held])

    # What the outside sees.

    def number_seen(self, number: int) -> NumberSeen | Elsewhere:
        """What is known of a number, or who holds its partition."""
        partitions, told = self._settings.topics.partitions, self._switch.told
        return number_seen(number, partitions, self._held, self._rules, self._instance, told)

    def seen(self) -> WorkerSeen:
        """What is held, and what was decided lately."""
        change, versions = self._switch.change, self._rules.versions()
        return WorkerSeen(
            instance=self._instance,
            mode=versions["mode"],
            mode_change=change.id if change else None,
            by_order=change is not None and change.mode != "configured",
            model=versions["model"],
            policy=versions["policy"],
            partitions=tuple(partition_seen(self._held[q], self._rules) for q in sorted(self._held)),
            restoring=self._taking.partitions,
            recent=tuple(self._recent),
        )

    @property
    def reachable(self) -> bool:
        """Whether the broker answers."""
        return self._broker.reachable

    def close(self, *, leave: bool = False) -> None:
        """Every partition is snapshotted where it stands; its place in the group is kept for a successor, or left.

        A place is kept for the session timeout only: so snapshots are written before that begins.
        Who leaves hands over first, and then writes.
        """
        if not leave:
            for held in self._held.values():
                self._saver.hand_over(held)
            self._saver.wait()
        self._consumer.close(leave=leave)
        self._taking.close()
        self._watch.close()
        self._switch.close()
        self._outbox.close()
        self._saver.close()
        self._drift_file.close(self._figures.drifting)
