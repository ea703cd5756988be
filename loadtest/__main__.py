"""`python -m loadtest COMMAND`."""

import argparse
import json
import sys
from pathlib import Path

from detector.errors import DetectorError
from loadtest import faults, fuzz, rebalance, recovery, soak, state
from loadtest.throughput import measure, table


def main() -> int:
    """Run one load test; its table goes to standard output."""
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    throughput = commands.add_parser("throughput", help="work a backlog off, end to end, exactly once")
    throughput.add_argument(
        "--numbers", type=int, default=10_000, help="subscribers, at about 94 records each (default: %(default)s)"
    )
    throughput.add_argument("--runs", type=int, default=3, help="how often (default: %(default)s)")
    throughput.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    throughput.set_defaults(run=_throughput)
    for command in (fuzz, faults, recovery, rebalance, soak, state):
        command.add(commands)
    arguments = parser.parse_args()
    code: int = arguments.run(arguments)
    return code


def _throughput(arguments: argparse.Namespace) -> int:
    runs = []
    for number in range(arguments.runs):
        runs.append(measure(arguments.numbers, seed=number + 1))
        sys.stderr.write(f"run {number + 1} of {arguments.runs}: {runs[-1].records_per_s:,.0f} records/s\n")
    sys.stdout.write(table(runs))
    if arguments.json:
        arguments.json.write_text(json.dumps([run.as_dict() for run in runs], indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DetectorError as error:
        sys.exit(f"loadtest: {error}")
