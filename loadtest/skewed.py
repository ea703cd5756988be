"""A role whose wall clock is wrong: `python -m loadtest.skewed FILE ROLE --config …`.

FILE says by how many seconds, and may say something else at any time: then the clock jumps. The
role is the real one; only what Python code calls the time is put forward or back before any of
ours is imported. librdkafka keeps to its own clock, which no process can move for itself alone.
"""

import sys
import time
from pathlib import Path


def skew(path: Path) -> None:
    """From now on, `time.time` is off by what the file says."""
    right_s, right_ns = time.time, time.time_ns

    def off_s() -> float:
        try:
            return float(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or half written
            return 0.0

    time.time = lambda: right_s() + off_s()
    time.time_ns = lambda: right_ns() + int(off_s() * 1e9)


if __name__ == "__main__":
    skew(Path(sys.argv.pop(1)))
    from detector.cli import main

    sys.exit(main())
