"""The admin port answers what an orchestrator and Prometheus ask."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from detector.admin import HUNG_AFTER_S, AdminServer, Probe
from detector.admin.probes import FIRST_AFTER_S
from detector.errors import Fatal
from detector.metrics import Metrics


@dataclass
class Process:
    """A process whose clock, loop and needs the test turns."""

    now_s: float = 1_000.0
    stepped_s: float = 0.0
    missing: dict[str, str] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)


@contextmanager
def served(process: Process) -> Iterator[AdminServer]:
    """The process's admin port, on a free port."""
    probe = Probe(process.metrics.registry, "detect-a-0", lambda: process.stepped_s, lambda: process.missing)
    with AdminServer("127.0.0.1", 0, probe, now_s=lambda: process.now_s) as server:
        yield server


def get(server: AdminServer, path: str) -> tuple[int, str]:
    """Status and body of a path."""
    try:
        with urllib.request.urlopen(server.url + path, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_are_served() -> None:
    """Prometheus reads the process's own registry."""
    process = Process()
    process.metrics.scored.inc(7)
    with served(process) as server:
        status, text = get(server, "/metrics")
    assert status == 200
    assert "detector_scored_total 7.0" in text


def test_a_process_is_live_from_its_start() -> None:
    """It may have to compile its kernels first, which takes longer than a round; for ever it may not."""
    process = Process()
    with served(process) as server:
        for waited_s, status in ((0.0, 200), (HUNG_AFTER_S, 200), (FIRST_AFTER_S - 1, 200), (FIRST_AFTER_S, 503)):
            process.now_s = 1_000.0 + waited_s
            assert get(server, "/health")[0] == status


def test_a_loop_that_hangs_is_not_live() -> None:
    """Thirty seconds without a round: 503, and the body says how long."""
    process = Process(now_s=0.0)
    with served(process) as server:
        process.stepped_s, process.now_s = 100.0, 100.0 + HUNG_AFTER_S
        status, text = get(server, "/health")
        assert (status, json.loads(text)) == (503, {"live": False, "name": "detect-a-0", "last_step_s_ago": 30.0})
        process.stepped_s = 130.0
        assert get(server, "/health")[0] == 200


def test_readiness_says_what_is_missing() -> None:
    """An unready process says what it waits for, and is live all the same."""
    process = Process(missing={"broker": "no answer from 127.0.0.1:9092"})
    with served(process) as server:
        status, text = get(server, "/ready")
        assert status == 503
        assert json.loads(text)["missing"] == {"broker": "no answer from 127.0.0.1:9092"}
        assert get(server, "/health")[0] == 200
        process.missing.clear()
        assert get(server, "/ready")[0] == 200


def test_other_paths_are_not_there() -> None:
    """404 that does not repeat what was asked; query strings are not part of a path."""
    with served(Process()) as server:
        status, text = get(server, "/secret-of-mine")
        assert (status, json.loads(text)) == (404, {"error": "nothing is here: see /openapi.json"})
        assert get(server, "/ready?verbose=1")[0] == 200


def test_a_taken_port_is_a_configuration_error() -> None:
    """Start stops with the address that was wanted."""
    with served(Process()) as server, pytest.raises(Fatal, match=rf"free port at 127\.0\.0\.1:{server.port}"):
        AdminServer("127.0.0.1", server.port, Probe(Metrics().registry, "x", lambda: 0.0, dict))
