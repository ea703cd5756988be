"""`fit`: a model bundle is trained on a table of vectors."""

import argparse
import sys
from functools import partial
from pathlib import Path

from detector.commands.common import Commands, add_command, check_folder, natural, out, say
from detector.errors import ConfigError

ROLES = ("label", "number", "time", "weight", "type")


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "fit",
        _fit,
        "train a model bundle on a table of labelled vectors",
        "Any parquet or CSV with a column of labels. Numeric columns without a role are the features; what is left\n"
        "out is said. One table is split, by time where it has one; with --thresholds-on and --test-on all of\n"
        "--vectors is fitted on, and the others set thresholds and give the figures. Equal tables and seeds give\n"
        "equal bytes.\n"
        "A bundle of simulated traffic says so, and blocks nobody unless model.accept_simulated allows it.\n"
        "`detector model` makes the one that ships.",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the bundle goes")
    parser.add_argument("--seed", type=natural, default=1, metavar="N", help="default: 1")
    add_table(parser, required=True)
    parser.add_argument(
        "--thresholds-on",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="tables, each with numbers of its own or of later days, on which thresholds are set; read one by one",
    )
    parser.add_argument("--test-on", type=Path, nargs="+", metavar="FILE", help="one more table, for the figures")
    parser.add_argument(
        "--estimator",
        default="trees",
        metavar="NAME",
        help="trees (default), logistic, or module:function that takes feature names and seed and returns a classifier",
    )
    parser.add_argument(
        "--search",
        type=natural,
        default=0,
        metavar="N",
        help="draw N sets of parameters and cross-validate (default: 0)",
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
    if arguments.out is None:
        raise ConfigError("--out: wanted a folder for the bundle (got none)")
    check_folder(arguments.out)
    sys.path.append(str(Path.cwd()))  # where a hook's module lies, most often
    from detector.learning.fitting import Apart, Asked, fit_table
    from detector.learning.tablecard import figures
    from detector.learning.tablefiles import read_table

    if bool(arguments.thresholds_on) != bool(arguments.test_on):
        given, other = sorted(("--thresholds-on", "--test-on"), reverse=bool(arguments.thresholds_on))
        raise ConfigError(f"{given}: wanted {other} FILE with it (got none)")
    table = read_table(arguments.vectors, roles_of(arguments), kind=arguments.kind)
    apart = None
    if arguments.test_on:
        read = partial(read_table, roles=roles_of(arguments), features=table.features, kind=arguments.kind)
        apart = Apart([partial(read, [file]) for file in arguments.thresholds_on], partial(read, arguments.test_on))
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
    fitted = fit_table(table, arguments.out, asked, say, apart)
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
