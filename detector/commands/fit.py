"""`fit`: the model bundle that ships is trained, from simulated traffic."""

import argparse
from pathlib import Path

from detector.commands.common import Commands, add_command, out, say
from detector.config import ROOT


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "fit",
        _fit,
        "train a model bundle on simulated traffic",
        "Equal seeds give equal bytes. A bundle says that it has seen simulated traffic only, and blocks nobody\n"
        "unless model.accept_simulated allows it.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path(ROOT, "models", "default"), metavar="FOLDER", help="default: models/default"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1, the shipped bundle's")


def _fit(arguments: argparse.Namespace) -> int:
    from detector.learning.training import fit

    report = fit(arguments.out, seed=arguments.seed, say=say)
    out(
        f"{arguments.out}: {report.manifest.version}, fitted on {report.manifest.data.vectors:,} vectors, "
        f"thresholds from {report.honest_number_days:,} honest number-days"
    )
    return 0
