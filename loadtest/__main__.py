"""`python -m loadtest COMMAND`."""

import argparse
import json
import sys
from pathlib import Path

from detector.errors import DetectorError
from loadtest import fuzz
from loadtest.faults import main as run_faults
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
    fuzz.add(commands)
    faults = commands.add_parser("faults", help="nemeses strike, oracles say what was lost or is there twice")
    faults.add_argument("--seed", type=int, default=1, help="of traffic and chance (default: %(default)s)")
    faults.add_argument(
        "--minutes", type=float, default=0.0, help="go on for so long; every fault has one turn at least"
    )
    faults.add_argument("--only", action="append", default=[], metavar="NAME", help="this fault only; repeatable")
    faults.add_argument("--folder", type=Path, metavar="DIR", help="keep logs, snapshots and the broker's data there")
    faults.set_defaults(run=_faults)
    arguments = parser.parse_args()
    code: int = arguments.run(arguments)
    return code


def _faults(arguments: argparse.Namespace) -> int:
    return run_faults(arguments.seed, arguments.minutes, arguments.only, arguments.folder)


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
