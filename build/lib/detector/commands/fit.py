"""`fit`: a model bundle is trained, on a table of vectors or, as the one that ships, on simulated traffic."""

import argparse
import sys
from pathlib import Path

from detector.commands.common import Commands, add_command, out, say
from detector.config import ROOT
from detector.errors import ConfigError

DEFAULT_OUT = Path(ROOT, "models", "default")
ROLES = ("label", "number", "time", "weight", "type")


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "fit",
        _fit,
        "train a model bundle on a table of labelled vectors, or on simulated traffic",
        "With --vectors: any parquet or CSV with a column of labels. Numeric columns without a role are the features;\n"
        "what is left out is said. Without: the bundle that ships, from simulated traffic. Equal seeds give equal\n"
        "bytes. A bundle of simulated traffic says so, and blocks nobody unless model.accept_simulated allows it.",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="default without --vectors: models/default; else to be given"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1, the shipped bundle's")
    add_table(parser, required=False)
    parser.add_argument(
        "--estimator",
        default="trees",
        metavar="NAME",
        help="trees (default), logistic, or module:function that takes feature names and seed and returns a classifier",
    )
    parser.add_argument(
        "--search", type=int, default=0, metavar="N", help="draw N sets of parameters and cross-validate (default: 0)"
    )
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=parameter,
        metavar="NAME=VALUE",
        help="a parameter of the estimator, in place of its default; may be repeated",
    )
    parser.add_argument(
        "--operator-prevalence",
        type=share,
        metavar="P",
        help="share of fraud among your active numbers on a day: display values are for it (default: the table's)",
    )
    parser.add_argument(
        "--monotone",
        action="append",
        default=[],
        metavar="FEATURE=WAY",
        help="rising, falling or free: how the score may move with a feature; may be repeated",
    )
    parser.add_argument(
        "--no-known-directions", action="store_true", help="leave the catalogue's features free that have a known way"
    )
    parser.add_argument("--name", default="fitted", metavar="NAME", help="of the bundle, in its version")


def add_table(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """`--vectors` and the columns' roles."""
    parser.add_argument(
        "--vectors", type=Path, nargs="+", required=required, metavar="FILE", help="tables: .parquet, or CSV"
    )
    defaults = {"time": "event_ms"}
    for role in ROLES:
        parser.add_argument(
            f"--{role}", metavar="COLUMN", help=f"column of the {role} (default: {defaults.get(role, role)})"
        )
    parser.add_argument(
        "--kind", choices=("simulated", "real"), help="what the traffic was (default: as the table's numbers say)"
    )


def roles_of(arguments: argparse.Namespace) -> dict[str, str | None]:
    """The columns that the command line names, by role."""
    return {role: getattr(arguments, role) for role in ROLES}


def share(text: str) -> float:
    """A number between 0 and 1, neither of them."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"wanted above 0 and below 1 (got {text})")
    return value


def parameter(text: str) -> tuple[str, float | int]:
    """A name and a number."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"wanted NAME=VALUE (got {text})")
    return name, float(value) if not value.lstrip("-").isdecimal() else int(value)


def _fit(arguments: argparse.Namespace) -> int:
    if arguments.vectors:
        return _fit_table(arguments)
    from detector.learning.training import fit

    folder = arguments.out or DEFAULT_OUT
    report = fit(folder, seed=arguments.seed, say=say)
    out(
        f"{folder}: {report.manifest.version}, fitted on {report.manifest.data.vectors:,} vectors, "
        f"thresholds from {report.honest_number_days:,} honest number-days"
    )
    return 0


def _fit_table(arguments: argparse.Namespace) -> int:
    if arguments.out is None:
        raise ConfigError("--out: wanted a folder for the bundle (got none)")
    sys.path.append(str(Path.cwd()))  # where a hook's module lies, most often
    from detector.learning.fitting import Asked, fit_table
    from detector.learning.table import read_table
    from detector.learning.tablecard import figures

    table = read_table(arguments.vectors, roles_of(arguments), kind=arguments.kind)
    asked = Asked(
        estimator=arguments.estimator,
        search=arguments.search,
        seed=arguments.seed,
        operator_prevalence=arguments.operator_prevalence,
        monotone=arguments.monotone,
        known_directions=not arguments.no_known_directions,
        parameters=dict(arguments.parameter),
        name=arguments.name,
    )
    fitted = fit_table(table, arguments.out, asked, say)
    for note in fitted.notes:
        say(note)
    data = fitted.manifest.data
    out(
        f"{arguments.out}: {fitted.manifest.version}, "
        f"fitted on {data.vectors:,} vectors of {data.numbers:,} numbers ({data.kind})\n"
    )
    for line in figures(fitted.evaluation):
        out(line)
    return 0
