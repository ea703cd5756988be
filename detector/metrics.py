"""Metrics: one table says what is measured, what it means and what to do about it.

The README's table is rendered from it, dashboards and alerts are checked against it, and
`Metrics` makes the Prometheus objects of one process from it. Every role has all of them:
one that a role never touches has no series, or stands at zero.

Counters carry whole batches: a role adds once a batch, never once a record.
"""

from collections import Counter as Counts
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

PREFIX: Final = "detector_"

Type = Literal["counter", "gauge", "histogram"]

LATENCY_BUCKETS_S: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.02,
    0.03,
    0.04,
    0.06,
    0.08,
    0.1,
    0.15,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)
"""Edges at the objectives, so that no interpolation decides whether one is met: p50 of 40 ms,
p99 of 100 ms, and 10 s, where the broker ends a transaction."""

HEARTBEAT_BUCKETS_S: Final = (*LATENCY_BUCKETS_S, 30, 60)
"""The same, and where a heartbeat is half lost, and lost."""

RECEIVE_BUCKETS_S: Final = (0.5, 1, 2, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400)
"""From a start record that comes with the first ring to a file sent once a day; the shortest window is 300 s."""

SCORE_BUCKETS: Final = (-10, -8, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8)
"""Margins: an honest number's lie far below 0, and every unit more is 2.7 times the odds."""

BATCH_BUCKETS: Final = (1, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000)
"""Records or rows of one batch; the configured limit of ingest, 50,000, is an edge."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table. `labels` are in the order in which `.labels(...)` takes them."""

    attribute: str
    name: str
    type: Type
    labels: tuple[str, ...]
    unit: str
    meaning: str
    action: str
    buckets: tuple[float, ...] = ()

    @property
    def exposed(self) -> str:
        """The name as Prometheus reads it."""
        return PREFIX + self.name + ("_total" if self.type == "counter" else "")


def _counter(attribute: str, labels: tuple[str, ...], unit: str, meaning: str, action: str, name: str = "") -> Metric:
    return Metric(attribute, name or attribute, "counter", labels, unit, meaning, action)


def _gauge(attribute: str, labels: tuple[str, ...], unit: str, meaning: str, action: str, name: str = "") -> Metric:
    return Metric(attribute, name or attribute, "gauge", labels, unit, meaning, action)


def _histogram(
    attribute: str, labels: tuple[str, ...], unit: str, meaning: str, action: str, buckets: tuple[float, ...]
) -> Metric:
    return Metric(attribute, attribute, "histogram", labels, unit, meaning, action, buckets)


METRICS: Final[tuple[Metric, ...]] = (
    # What comes in.
    _counter(
        "records",
        ("source",),
        "records",
        "records read from a source and committed, rejected ones included",
        "a source that stands still while its switch works: look at the switch's exporter and at lag_seconds",
    ),
    _counter(
        "record_bytes",
        ("source",),
        "bytes",
        "bytes of those records as the source wrote them",
        "a jump per record: the source has changed its format; run `detector check-source` on a sample",
    ),
    _counter(
        "rejects",
        ("source", "reason"),
        "records",
        "records that gave no row and went to the rejects topic",
        "read the newest of `rejects` (its headers say why), mend the mapping or the source, replay them",
    ),
    _counter(
        "skipped",
        ("source", "why"),
        "records",
        "records that the mapping leaves out on purpose: other legs, receipts, retries",
        "a share that moves: the switch has changed how it writes legs; check the mapping's leg filter",
    ),
    _counter(
        "rows_out",
        (),
        "rows",
        "rows that ingest has published",
        "far below two a record: originators are withheld, or a side is undeclared in the mapping",
    ),
    _histogram(
        "receive_seconds",
        ("source", "phase"),
        "seconds",
        "from an event to its record standing in the source's topic, by the phase it reports (began, answered, "
        "interim, ended, complete); of a few records a second, none of a source with max_future_s off",
        "began above 5 s: decisions come as much later; look at the switch's exporter, or its clock",
        RECEIVE_BUCKETS_S,
    ),
    _counter(
        "names",
        (),
        "names",
        "texts of alphanumeric sender ids that travelled in message headers",
        "a jump: somebody invents sender ids; look at the accounts behind them",
    ),
    # What becomes of it.
    _counter(
        "messages",
        (),
        "messages",
        "internal messages that detect has worked through, replay after a start included",
        "still while rows_out grows: detect is stuck or not assigned; see assigned and /health",
    ),
    _counter(
        "rows",
        ("status",),
        "rows",
        "rows by what became of them: counted, duplicate, late, ignored",
        "late or duplicate above 1 %: a source delivers late or twice; find it by source in the events topic",
    ),
    _counter(
        "scored",
        (),
        "rows",
        "rows whose number was scored by the model",
        "zero while rows grow: no model is loaded, or its activity floor is above all traffic",
    ),
    _histogram(
        "score",
        (),
        "margin",
        "margins of some of the rows scored: up to 32 of a batch",
        "a hump that moves: compare feature_drift of score, and with the week before",
        SCORE_BUCKETS,
    ),
    _counter(
        "decisions",
        ("action", "rule", "service"),
        "decisions",
        "decisions published",
        "a rule that jumps: read its cases with `detector decisions tail`; `detector mode flag` if in doubt",
    ),
    _counter(
        "held_back",
        ("why",),
        "decisions",
        "blocks that became flags, by what held them back",
        "budget: an attack or a bad rule, decide which; source_silent: mend the feed; warm_up: wait a week",
    ),
    _gauge(
        "in_force",
        ("partition", "action"),
        "decisions",
        "decisions that hold at the partition's newest event time; each partition is counted in turn, one a second",
        "block rising beyond what analysts can read: look at decisions by rule, and release what is wrong",
    ),
    _gauge(
        "blocks_budget_left",
        ("partition",),
        "blocks",
        "room left in the block budget of the partition's current hour of event time",
        "at zero rules and models only flag: look at decisions by rule before raising the budget",
    ),
    _counter(
        "challenger",
        ("level", "who"),
        "rows",
        "scored rows that reach a threshold: of both models, of the champion's alone, of the challenger's alone",
        "challenger alone far above both: it would touch others; see whom with `detector backtest` before promoting",
    ),
    # What it looks like.
    _gauge(
        "feature_drift",
        ("feature",),
        "index",
        "population stability index of a feature, or of the `score`: the last 24 hours against the model's reference",
        "from 0.1 watch, from 0.25 act: a feed or the traffic has changed; see `detector drift`, or fit again",
    ),
    _gauge(
        "drift_vectors",
        (),
        "vectors",
        "vectors of the last 24 hours that feature_drift rests on, one of four number-days",
        "below 1000, or before a whole day is counted, there is no feature_drift; another model counts anew",
    ),
    # What is held.
    _gauge(
        "numbers",
        ("partition", "form"),
        "numbers",
        "numbers remembered of a partition: quiet (192 bytes), usual (1,536) or wide (6,336)",
        "partitions that differ by far: a source writes unparsed numbers; quiet ones in a flood: numbers are made up",
    ),
    _counter(
        "forgotten",
        (),
        "numbers",
        "numbers let go of after sixteen days of silence",
        "none over weeks while numbers grow: event time stands still, see lag_seconds",
    ),
    _counter(
        "evicted",
        (),
        "numbers",
        "numbers let go of before their time, the longest silent first, for detect.most_numbers were remembered",
        "any: numbers are made up (see numbers, find the source), or the base has grown (`detector plan-memory`, then "
        "raise the limit): who was evicted comes back as a stranger",
    ),
    _gauge(
        "state_bytes",
        ("partition",),
        "bytes",
        "memory of a partition's state",
        "near the container's limit in sum: add detect workers",
    ),
    _gauge(
        "cases_bytes",
        ("partition",),
        "bytes",
        "memory of a partition's decisions, each remembered until seven days after it expired",
        "grows without an end: a rule or the model decides on too many, see decisions; else it is part of the memory "
        "that a worker needs",
    ),
    _gauge(
        "restore_seconds",
        ("partition",),
        "seconds",
        "how long the last taking of a partition took: decisions, snapshot and replay",
        "above 10 s: see unsaved_rows (replay) and snapshot_seconds (the store); the log says which took how long",
    ),
    _counter(
        "snapshots",
        ("outcome",),
        "snapshots",
        "snapshots by outcome: written, failed",
        "any failed: check room and rights of detect.snapshots; detect goes on, but a restart takes longer",
    ),
    _histogram(
        "snapshot_seconds",
        (),
        "seconds",
        "time to write one snapshot",
        "above 5 s: the store is slow; the stream goes on meanwhile, but there is more to replay after a kill",
        (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    ),
    _histogram(
        "snapshot_pause_seconds",
        (),
        "seconds",
        "how long the poll loop stood still while a partition was copied for its snapshot",
        "above 0.05: its state is too large to be copied in one piece; more partitions, or memory that is not swapped",
        (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 1),
    ),
    _gauge(
        "snapshot_bytes",
        (),
        "bytes",
        "size of the last snapshot written",
        "twelve of them and the kept ones must fit into detect.snapshots; it grows with numbers",
    ),
    _gauge(
        "unsaved_rows",
        (),
        "rows",
        "rows since their newest snapshots, over all partitions held: what a restart after a kill replays",
        "far above detect.replay_rows: snapshots fail or are slower than the stream; see snapshot_seconds",
    ),
    _gauge(
        "snapshot_age",
        (),
        "seconds",
        "age of the oldest among the newest snapshots of the partitions that have got rows since; 0 where none has",
        "above three times detect.snapshot_every_s: snapshots fail; see snapshots by outcome",
        "snapshot_age_seconds",
    ),
    # How fast.
    _gauge(
        "lag_seconds",
        ("role",),
        "seconds",
        "now less the newest event time committed by the role",
        "above 60 s and rising: the role is too slow (add workers) or its sources are late (compare the roles)",
    ),
    _gauge(
        "lag_records",
        ("role", "topic", "partition"),
        "messages",
        "messages that stand in a partition and no poll has given the role yet, those of open transactions too",
        "rising on all partitions: add workers; on one alone: see committed_offset, and the log of its holder",
    ),
    _gauge(
        "committed_offset",
        ("partition",),
        "offset",
        "the next internal offset that detect will work through in a partition it holds",
        "still while lag_records of the partition is above 0: it is stuck; restart its holder",
    ),
    _histogram(
        "heartbeat_seconds",
        (),
        "seconds",
        "from a heartbeat standing in its topic, through ingest, to detect's commit of the batch that it went through",
        "above 1: see latency_seconds of both roles for which of them is slow",
        HEARTBEAT_BUCKETS_S,
    ),
    _gauge(
        "heartbeat_timestamp",
        ("partition",),
        "unix seconds",
        "when a heartbeat of the partition last came through, or when the partition was taken; none where "
        "ingest.heartbeat_s is off",
        "older than three of ingest.heartbeat_s: nothing gets through; see assigned of both roles and broker_up",
        "heartbeat_timestamp_seconds",
    ),
    _histogram(
        "latency_seconds",
        ("role",),
        "seconds",
        "from the oldest message of a batch standing in its topic to the commit of what came of it",
        "p50 above 0.04 or p99 above 0.1 on either role: see stage_seconds for where the time goes",
        LATENCY_BUCKETS_S,
    ),
    _histogram(
        "batch_size",
        ("role",),
        "messages",
        "messages in one transaction",
        "always at the limit: the role is behind; always 1: commits cost more than the work",
        BATCH_BUCKETS,
    ),
    _histogram(
        "stage_seconds",
        ("role", "stage"),
        "seconds",
        "time of one stage of a batch",
        "the stage that grew is where to look: poll and publish are the broker's, the others ours",
        LATENCY_BUCKETS_S,
    ),
    _histogram(
        "transaction_seconds",
        ("role",),
        "seconds",
        "from begin to the end of one transaction",
        "near 10 s the broker fences the process: make batches smaller or mend the broker",
        LATENCY_BUCKETS_S,
    ),
    _counter(
        "transactions",
        ("role", "outcome"),
        "transactions",
        "transactions by outcome: committed, aborted",
        "aborted without a rebalance or a restart near it: read the role's log for the broker's error",
    ),
    _counter(
        "rebalances",
        ("role", "what"),
        "rebalances",
        "times that the group has given partitions, asked for some back (revoked), or given them to another (lost)",
        "lost: the process was away for longer than its session of 6 s (paused, starved, cut off); see its log",
    ),
    # What the Kafka clients say.
    _gauge(
        "client_queue_messages",
        ("client",),
        "messages",
        "messages inside librdkafka: fetched and not polled yet (consumer), sent and not stored yet (producer)",
        "consumer at its limit: the role is behind, not the broker; producer above 10,000: the broker stores slowly",
    ),
    _gauge(
        "broker_round_trip_seconds",
        ("client", "broker", "stat"),
        "seconds",
        "how long a broker's answers took in the last 5 s, mean and p99; a fetch waits up to 0.05 for records",
        "producer p99 above 0.05: the broker or the way to it is slow; compare its nodes",
    ),
    # Who we are and whether we live.
    _gauge(
        "broker_up",
        (),
        "0 or 1",
        "whether the last call to the broker succeeded",
        "0: the broker cannot be reached from here; the role retries by itself",
    ),
    _gauge(
        "assigned",
        ("role",),
        "partitions",
        "partitions that this process holds, those included that it still restores",
        "sum over processes below the topic's partitions: nobody works on some; more processes than partitions idle",
    ),
    _gauge(
        "replaying",
        (),
        "partitions",
        "partitions assigned that are still restored: decisions, snapshot, rows up to the committed offset",
        "above 0 for minutes after a start: snapshots are too rare; until 0 the process is not ready",
    ),
    _gauge(
        "model_info",
        ("version", "simulated"),
        "1",
        "the model in force; simulated is true when it was trained on simulated traffic only",
        "versions that differ between processes: a rollout is half done",
    ),
    _counter(
        "reloads",
        ("outcome",),
        "reloads",
        "model, policy, lists, zones or mappings whose files have changed: taken, or failed and the old ones kept",
        "failed: the log says which file is wrong and where; mend it, and it is tried again",
    ),
    _gauge(
        "reload_timestamp",
        (),
        "unix seconds",
        "when the rules in force were taken: at the start, or when their files had changed",
        "older than a change of yours: the process has not seen it; is the file where its configuration looks?",
        "reload_timestamp_seconds",
    ),
    _gauge(
        "reload_success",
        (),
        "0 or 1",
        "whether the last attempt to take model, policy, lists and zones succeeded",
        "0: the old ones decide; the log says which file is wrong and where",
    ),
    _gauge(
        "config_info",
        ("version",),
        "1",
        "the configuration in force, as a hash of all but secrets and the host's name and folder",
        "versions that differ between processes: a rollout is half done",
    ),
    _gauge(
        "partitions",
        (),
        "partitions",
        "topics.partitions, which detect's workers hold together",
        "another number in one process: it is configured for another deployment",
    ),
    _gauge(
        "challenger_info",
        ("version", "simulated"),
        "1",
        "the model that scores beside the one in force and decides nothing",
        "absent though model.challenger is set: the process has not started again since",
    ),
    _gauge(
        "policy_info",
        ("version", "mode"),
        "1",
        "the policy in force, and the mode",
        "versions or modes that differ between processes: a rollout is half done",
    ),
    _gauge(
        "last_batch_timestamp",
        ("role",),
        "unix seconds",
        "when the role last committed a batch with anything in it but heartbeats",
        "old while lag_records is above 0: it does not get at what waits; see committed_offset and the log",
        "last_batch_timestamp_seconds",
    ),
    _gauge(
        "last_step_timestamp",
        (),
        "unix seconds",
        "when the poll loop last came round",
        "older than 30 s: the loop hangs, /health fails and the supervisor should restart it",
        "last_step_timestamp_seconds",
    ),
)

PARITY: Final[tuple[Metric, ...]] = (
    _gauge(
        "parity_equal",
        (),
        "0 or 1",
        "whether the last `detector parity --metrics` found what serving scored equal to what training computes",
        "0: run it by hand, it names the features that differ, or that there was nothing to compare",
    ),
    _gauge(
        "parity_vectors",
        (),
        "vectors",
        "vectors of serving that it compared",
        "0: detect.vectors_every is 0, or the log reaches back less than eight days",
    ),
    _gauge(
        "parity_differing",
        (),
        "vectors",
        "vectors of these that differ in any feature",
        "above 0: do not fit or promote on this table until it is known which side is right",
    ),
    _gauge(
        "parity_missing",
        (),
        "vectors",
        "vectors of serving that were not computed again",
        "above 0 without --vectors: rows are gone from the archive or the topic, or were erased",
    ),
    _gauge(
        "parity_timestamp_seconds",
        (),
        "unix seconds",
        "when it ran to its end",
        "older than eight days: cron does not run it, or it fails; run it by hand",
    ),
)
"""What a run of `detector parity` leaves in a file for a node exporter to show, for it has no port of its own."""


class Metrics:
    """The Prometheus objects of one process, one attribute for each line of `METRICS`."""

    records: Counter
    record_bytes: Counter
    rejects: Counter
    skipped: Counter
    rows_out: Counter
    receive_seconds: Histogram
    names: Counter
    messages: Counter
    rows: Counter
    scored: Counter
    score: Histogram
    decisions: Counter
    held_back: Counter
    in_force: Gauge
    blocks_budget_left: Gauge
    challenger: Counter
    feature_drift: Gauge
    drift_vectors: Gauge
    numbers: Gauge
    forgotten: Counter
    evicted: Counter
    state_bytes: Gauge
    cases_bytes: Gauge
    restore_seconds: Gauge
    snapshots: Counter
    snapshot_seconds: Histogram
    snapshot_pause_seconds: Histogram
    snapshot_bytes: Gauge
    unsaved_rows: Gauge
    snapshot_age: Gauge
    lag_seconds: Gauge
    lag_records: Gauge
    committed_offset: Gauge
    heartbeat_seconds: Histogram
    heartbeat_timestamp: Gauge
    latency_seconds: Histogram
    batch_size: Histogram
    stage_seconds: Histogram
    transaction_seconds: Histogram
    transactions: Counter
    rebalances: Counter
    client_queue_messages: Gauge
    broker_round_trip_seconds: Gauge
    broker_up: Gauge
    assigned: Gauge
    replaying: Gauge
    model_info: Gauge
    reloads: Counter
    reload_timestamp: Gauge
    reload_success: Gauge
    config_info: Gauge
    partitions: Gauge
    challenger_info: Gauge
    policy_info: Gauge
    last_batch_timestamp: Gauge
    last_step_timestamp: Gauge

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        for metric in METRICS:
            setattr(self, metric.attribute, _build(metric, self.registry))

    def value(self, attribute: str, **labels: str) -> float:
        """The sum of a counter's or gauge's series that carry `labels`; 0 where there is none."""
        return sum(value for found, value in self._series(attribute) if labels.items() <= found.items())

    def by_label(self, attribute: str, label: str) -> Counts[str]:
        """A counter's or gauge's value for each value of `label`, summed over its other labels."""
        counts: Counts[str] = Counts()
        for found, value in self._series(attribute):
            counts[found[label]] += int(value)
        return counts

    def _series(self, attribute: str) -> Iterator[tuple[dict[str, str], float]]:
        metric = next(metric for metric in METRICS if metric.attribute == attribute)
        collector: MetricWrapperBase = getattr(self, attribute)
        for family in collector.collect():
            for sample in family.samples:
                if sample.name == metric.exposed:
                    yield sample.labels, sample.value


def _build(metric: Metric, registry: CollectorRegistry) -> MetricWrapperBase:
    name, meaning = PREFIX + metric.name, metric.meaning
    if metric.type == "counter":
        return Counter(name, meaning, metric.labels, registry=registry)
    if metric.type == "gauge":
        return Gauge(name, meaning, metric.labels, registry=registry)
    return Histogram(name, meaning, metric.labels, registry=registry, buckets=metric.buckets)


def metrics_markdown() -> str:
    """The table as the README prints it."""
    lines = ["| metric | type | labels | unit | meaning | what to do |", "| --- | --- | --- | --- | --- | --- |"]
    for metric in (*METRICS, *PARITY):
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        cells = (f"`{metric.exposed}`", metric.type, labels, metric.unit, metric.meaning, metric.action)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
