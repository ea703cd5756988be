"""Telling: what a process is configured to, and what its Kafka clients say of themselves, as metrics.

Settings   -> tell_settings -> config_info, partitions
Policy     -> decide_none   -> decisions, at 0
Statistics -> Clients.tell  -> lag_records, client_queue_messages, broker_round_trip_seconds
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final, get_args

import msgspec
from msgspec.structs import replace

from detector.broker import TopicPartition
from detector.broker.statistics import Statistics
from detector.config import Settings, is_secret
from detector.errors import Reason
from detector.metrics import Metrics
from detector.verdict.decisions import SEVERITY, Hold
from detector.verdict.policy import KINDS, PolicyText

VERSION_BYTES: Final = 6


def settings_version(settings: Settings) -> str:
    """The same for two processes that are configured alike, whatever their hosts, folders and secrets are."""
    alike = msgspec.to_builtins(replace(settings, instance="", base=""))
    # Everybody may read it: whoever knows the rest could try passwords against a hash of them.
    text = msgspec.json.encode(_open(alike), order="sorted")
    return blake2b(text, digest_size=VERSION_BYTES).hexdigest()


def _open(value: Any) -> Any:
    """Settings without their secrets."""
    if isinstance(value, dict):
        return {name: _open(one) for name, one in value.items() if not is_secret(str(name))}
    return [_open(one) for one in value] if isinstance(value, list | tuple) else value


def tell_settings(metrics: Metrics, settings: Settings) -> None:
    """Which configuration is in force."""
    metrics.config_info.clear()
    metrics.config_info.labels(settings_version(settings)).set(1)
    metrics.partitions.set(settings.topics.partitions)


def begin_at_zero(metrics: Metrics) -> None:
    """Detect's counters that alerts look at are there: one that appears with its first event has no increase then."""
    refuse_none(metrics, ("events",))
    for why in get_args(Hold):
        metrics.held_back.labels(why)
    for outcome in ("written", "failed"):
        metrics.snapshots.labels(outcome)
    for outcome in ("taken", "failed"):
        metrics.reloads.labels(outcome)


def refuse_none(metrics: Metrics, sources: Iterable[str]) -> None:
    """Rejects of these `sources` are there too, for every reason."""
    for source in sources:
        for reason in Reason:
            metrics.rejects.labels(source, reason.value)


def decide_none(metrics: Metrics, policy: PolicyText) -> None:
    """And decisions that the policy's rules and operators can make; a block that is held back is a flag."""
    made = {
        (action, rule.id, rule.service or KINDS[kind])
        for rule in policy.rules
        for action in (rule.action, "flag")
        for kind in rule.kinds
    }
    ordered = {(action, "operator", service) for action in SEVERITY for service in KINDS.values()}
    for action, rule_id, service in made | ordered:
        metrics.decisions.labels(action, rule_id, service)


class Clients:
    """The clients of a process of `role`; told of from within their own polls."""

    def __init__(self, metrics: Metrics, role: str) -> None:
        self._metrics = metrics
        self._role = role
        self._lagging: set[TopicPartition] = set()

    def tell(self, statistics: Statistics) -> None:
        """What a client says is in the metrics, and nothing of partitions that it no longer reads."""
        metrics, client = self._metrics, statistics.type
        metrics.client_queue_messages.labels(client).set(statistics.queued)
        for node, (mean_s, p99_s) in statistics.round_trips_s.items():
            metrics.broker_round_trip_seconds.labels(client, str(node), "mean").set(mean_s)
            metrics.broker_round_trip_seconds.labels(client, str(node), "p99").set(p99_s)
        if client != "consumer":
            return
        lags = statistics.lags
        for at in self._lagging - lags.keys():
            metrics.lag_records.remove(self._role, at.topic, str(at.partition))
        self._lagging = set(lags)
        for at, lag in lags.items():
            metrics.lag_records.labels(self._role, at.topic, str(at.partition)).set(lag)
