"""What a run of the throughput test tells, and the ports and records that it takes."""

import socket

import pytest

from loadtest.ingest import FORMS
from loadtest.limit import Limit
from loadtest.throughput import Run, backlog, free_ports, table
from loadtest.versions import InForce


def run(limit: Limit | None = None) -> Run:
    """A million records in ten seconds."""
    cpu, peak = {"ingest": 2.0, "detect": 8.0, "broker": 3.0}, {"ingest": 300_000_000, "detect": 500_000_000}
    by = (InForce("flag", "model", "policy"),)
    return Run(1_000_000, 220.0, 2_000_000, 400_000, 70, 10.0, cpu, peak, "a machine", 2, "asterisk", limit, by)


def test_a_rate_stands_beside_that_of_a_bare_consumer() -> None:
    """As a share of it; where that was not measured, nothing stands there."""
    told = table([run(Limit(400_000.0, 1.5, 300_000_000))])
    assert "| 1 | 100,000 | 400,000 | 25% | 400,000 | 70 | 2.0 | 8.0 | 3.0 | 300 | 500 |" in told
    assert "1,000,000 asterisk records of 220 bytes a run, worked off by 2 of each role" in told
    assert "| 1 | 100,000 |  |  | 400,000 |" in table([run()])


def test_figures_say_what_they_rest_on() -> None:
    """What decided, the libraries, and the bare consumer."""
    told = run(Limit(400_000.0, 1.5, 300_000_000)).as_dict()
    assert told["in_force"] == [{"mode": "flag", "model": "model", "policy": "policy"}]
    assert told["share_of_limit"] == pytest.approx(0.25)
    assert told["limit"] == {"records_per_s": 400_000.0, "cpu_s_per_million": 1.5, "peak_bytes": 300_000_000}
    assert {"python", "numpy"} <= told["libraries"].keys()


@pytest.mark.parametrize("mapping", FORMS)
def test_a_backlog_of_calls_is_as_long_as_a_simulated_one(mapping: str) -> None:
    """94 records a number."""
    assert len(backlog(10, 1, mapping)) == 940


def test_ports_are_free_one_behind_another() -> None:
    """Two for each worker of both roles."""
    first = free_ports(6)
    for port in range(first, first + 6):
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))
