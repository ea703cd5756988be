"""Vitals: what a process holds of its machine, read from /proc (Linux)."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Vitals:
    """One process at one moment."""

    rss_bytes: int
    handles: int
    """Open file descriptors."""
    threads: int


def resident_bytes() -> int:
    """What this process holds now."""
    held = vitals(os.getpid())
    return held.rss_bytes if held else 0


def vitals(pid: int) -> Vitals | None:
    """What process `pid` holds now; None where it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        handles = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    if "VmRSS" not in fields:  # a process that has ended and was not waited for yet
        return None
    return Vitals(int(fields["VmRSS"].split()[0]) * 1024, handles, int(fields["Threads"]))
