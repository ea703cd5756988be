"""`metrics-table`: tables of the README that are written here and checked there."""

import argparse

from detector.commands.common import Commands, add_command, out


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    add_command(
        commands,
        "metrics-table",
        _metrics_table,
        "print the table of metrics as markdown",
        "The README holds it between <!-- metrics:begin --> and <!-- metrics:end -->; a test compares them.",
    )


def _metrics_table(arguments: argparse.Namespace) -> int:
    from detector.metrics import metrics_markdown

    out(metrics_markdown().rstrip("\n"))
    return 0
