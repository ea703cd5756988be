"""`python -m loadtest COMMAND`."""

import argparse
import sys

from detector.errors import DetectorError
from loadtest import (
    base,
    bench,
    faults,
    fetching,
    fuzz,
    held,
    ingest,
    latency,
    learning,
    rebalance,
    recovery,
    rehearsal,
    release,
    soak,
    start,
    state,
    throughput,
)
from loadtest.peers import command as peers

COMMANDS = (
    *(throughput, latency, peers, ingest, state, base, held, fetching, learning, bench),
    *(faults, recovery, rebalance, start, release, soak, fuzz, rehearsal),
)


def main() -> int:
    """Run one load test; its table goes to standard output."""
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    arguments = parser.parse_args()
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DetectorError as error:
        sys.exit(f"loadtest: {error}")
