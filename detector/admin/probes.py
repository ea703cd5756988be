"""Probes: what an orchestrator and Prometheus ask.

    GET /metrics   the registry in Prometheus' text format
    GET /health    200 while the poll loop comes round, 503 when it hangs: restart the process
    GET /ready     200 while nothing is missing, 503 with what is: send no traffic, do not restart

A broker that is away makes a process unready, never unhealthy: a restart would not mend it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from detector.admin.http import Reply, json_reply

HUNG_AFTER_S: Final = 30.0
"""Three times the broker's transaction timeout of 10 s: a loop that is only slow, or that waits
for a pending transaction, comes round before."""
FIRST_AFTER_S: Final = 300.0
"""The same before it has come round for the first time: kernels that no cache holds take 50 s to compile, and several
times that beside others that do the same. Who restarted it meanwhile would have it begin anew."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the admin thread may ask of a process. The callables must not block.

    `last_step_s`: unix time at which the poll loop last came round, 0 before its first time.
    `missing`: what stands between the process and its work, by name, with a sentence each.
    """

    registry: CollectorRegistry
    name: str
    last_step_s: Callable[[], float]
    missing: Callable[[], Mapping[str, str]]


class Probes:
    """Answers them; alive from its start."""

    def __init__(self, probe: Probe, now_s: Callable[[], float] = time.time) -> None:
        self._probe, self._now_s, self._started_s = probe, now_s, now_s()

    def metrics(self) -> Reply:
        """What is measured."""
        return Reply(200, generate_latest(self._probe.registry), CONTENT_TYPE_PLAIN_0_0_4)

    def health(self) -> Reply:
        """Whether the loop moves."""
        last_s = self._probe.last_step_s()
        idle_s = self._now_s() - (last_s or self._started_s)
        body = {
            "live": idle_s < (HUNG_AFTER_S if last_s else FIRST_AFTER_S),
            "name": self._probe.name,
            "last_step_s_ago": round(idle_s, 1),
        }
        return json_reply(200 if body["live"] else 503, body)

    def ready(self) -> Reply:
        """Whether it works."""
        missing = dict(self._probe.missing())
        return json_reply(503 if missing else 200, {"ready": not missing, "name": self._probe.name, "missing": missing})
