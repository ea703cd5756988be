"""`detector`: the command line. Builds the outside world from flags and configuration, and hands it in.

Exit codes: 0 done; 1 stopped by an error that a restart may mend; 2 a wrong command line or
configuration; 130 ended from the keyboard. The last line on stderr says why.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from detector import __version__
from detector.commands import (
    acls,
    archive,
    audit,
    audit_sample,
    backtest,
    check,
    configuration,
    decisions,
    demo,
    drift,
    evaluate,
    features,
    fit,
    kernels,
    labels,
    listing,
    mode,
    model,
    operator,
    parity,
    plan_memory,
    promote,
    pseudonym,
    replay,
    roles,
    simulate,
    snapshots,
    tables,
    token,
    topics,
    weekly,
)
from detector.errors import ConfigError, DetectorError

COMMANDS: Final = (
    demo,
    topics,
    acls,
    roles,
    simulate,
    decisions,
    operator,
    mode,
    listing,
    token,
    audit,
    snapshots,
    check,
    kernels,
    configuration,
    pseudonym,
    plan_memory,
    replay,
    archive,
    labels,
    audit_sample,
    features,
    parity,
    fit,
    evaluate,
    model,
    drift,
    backtest,
    promote,
    weekly,
    tables,
)
"""In the order in which a newcomer needs them; `--help` keeps it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except ConfigError as error:
        return _stop(error, 2)
    except DetectorError as error:
        return _stop(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has enough (`| head`). Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="detector",
        description="Streaming call-and-SMS fraud detector for telecom operators.",
        epilog="A first look, without any broker: detector demo",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


def _stop(error: DetectorError, code: int) -> int:
    sys.stderr.write(f"detector: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
