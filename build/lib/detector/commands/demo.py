"""`demo`: a simulated week and a day full of fraud, through the real thing, on this machine alone."""

import argparse
from pathlib import Path

from detector.commands.common import Commands, add_command, add_config, positive, settings_of
from detector.config import ROOT

DEMO_CONFIG = Path(ROOT, "configs", "demo.yaml")


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "demo",
        _demo,
        "watch a simulated day of fraud being caught, without any broker",
        "20,000 numbers live through a warm-up week and a day in which campaigns of Wangiri, robocalls, SIM boxes,\n"
        "IRSF, smishing and spoofing are hidden. Their records go through the same ingest, detect and policy code as\n"
        "in production. At the end: who was caught, how late, and which honest numbers were touched.",
    )
    add_config(parser, DEMO_CONFIG)
    parser.add_argument(
        "--seed", type=int, metavar="N", help="another network, other frauds (default: one kept for demos)"
    )
    parser.add_argument("--numbers", type=positive, default=20_000, metavar="N", help="subscribers (default: 20000)")
    parser.add_argument(
        "--repeat", type=positive, default=1, metavar="N", help="play N seeds from --seed on; prints one markdown table"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write each play's result as a line of JSON")


def _demo(arguments: argparse.Namespace) -> int:
    from detector.demo.run import run_demo

    return run_demo(
        settings_of(arguments),
        numbers=arguments.numbers,
        seed=arguments.seed,
        repeat=arguments.repeat,
        json_file=arguments.json,
    )
