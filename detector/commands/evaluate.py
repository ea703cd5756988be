"""`evaluate`: what a bundle is worth on vectors whose labels are known."""

import argparse
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.commands.common import Commands, add_command, check_folder, natural, out, say
from detector.commands.fit import add_table, roles_of
from detector.errors import ConfigError

if TYPE_CHECKING:
    from detector.learning.table import Table


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "evaluate",
        _evaluate,
        "judge a model bundle on a table of labelled vectors",
        "Writes evaluation.json, report.html (one file, no network) and MODEL_CARD.md. A number counts once; bars are\n"
        "the bundle's thresholds; intervals are drawn by number. The table must not hold what it was fitted on.\n"
        "Where it is a later week of the same network, --trained-on leaves out numbers that training knew as fraud:\n"
        "give the tables that the challenger was fitted on to both evaluations, the champion's and its own.",
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="FOLDER", help="the model bundle")
    add_table(parser, required=True)
    parser.add_argument(
        "--trained-on",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="tables of the same network: numbers that are fraud in them are left out, and counted",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the three files go")
    parser.add_argument(
        "--seed", type=natural, default=1, metavar="N", help="of intervals, folds and samples (default: 1)"
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        type=_group,
        metavar="NAME=TYPE,TYPE",
        help="judge types of fraud together too, such as rings=wangiri*,flash_call*; may be repeated",
    )
    parser.add_argument("--quick", action="store_true", help="without importance, baselines and ablations")
    parser.add_argument(
        "--update-card", action="store_true", help="put MODEL_CARD.md into the bundle too, in place of its own"
    )


def _group(text: str) -> tuple[str, tuple[str, ...]]:
    """A name and patterns of types."""
    name, equals, types = text.partition("=")
    if not name or not equals or not types:
        raise argparse.ArgumentTypeError(f"wanted NAME=TYPE,TYPE (got {text})")
    return name, tuple(types.split(","))


def _groups(table: "Table", asked: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, list[str]] | None:
    """The types of the table's fraud that each group's patterns name; None where none is asked for."""
    types = sorted(set(table.types[table.fraud].tolist()) - {""})
    groups = {name: [kind for kind in types if any(fnmatchcase(kind, one) for one in some)] for name, some in asked}
    for name, found in groups.items():
        if not found:
            raise ConfigError(f"--group {name}: wanted types of the table's fraud ({', '.join(types)}) (got none)")
    return groups or None


def _unknown(
    table: "Table", arguments: argparse.Namespace, defaults: "Mapping[str, str] | None"
) -> "tuple[Table, dict[str, Any]]":
    """The table without the numbers that are fraud in those of --trained-on, and what the evaluation says of it."""
    from detector.learning.digests import together
    from detector.learning.tablefiles import read_table
    from detector.learning.trainedon import known_frauds, without

    digests: dict[str, str] = {}
    known: frozenset[str] = frozenset()
    for file in arguments.trained_on:  # one after the other, so that memory is that of the largest
        part = read_table([file], roles_of(arguments), kind=arguments.kind, defaults=defaults)
        digests = together(digests.items(), part.files.items())
        known |= known_frauds([part])
    fresh, count = without(table, known, ", ".join(digests))
    return fresh, {"fraud_numbers": count, "trained_on": digests}


def _evaluate(arguments: argparse.Namespace) -> int:
    check_folder(arguments.out)
    from detector.learning.judging import evaluate_bundle, write_evaluation
    from detector.learning.tablecard import CARD, figures
    from detector.learning.tablefiles import read_table
    from detector.verdict.model import Model

    model = Model.load(arguments.bundle, any_features=True)
    fit = model.manifest.fit
    defaults = fit.inputs["columns"] if fit else None
    table = read_table(arguments.vectors, roles_of(arguments), model.names, arguments.kind, defaults)
    left_out = None
    if arguments.trained_on:
        table, left_out = _unknown(table, arguments, defaults)
    groups = _groups(table, arguments.group)
    evaluation = evaluate_bundle(
        arguments.bundle, model, table, arguments.seed, say, quick=arguments.quick, groups=groups
    )
    if left_out is not None:
        evaluation["table"]["left_out"] = left_out
    write_evaluation(arguments.out, evaluation, model)
    if arguments.update_card:
        (arguments.bundle / CARD).write_bytes((arguments.out / CARD).read_bytes())
    out(f"{model.version} on {', '.join(table.files)}: figures of {evaluation['figures']}\n")
    if left_out is not None:
        out(f"left out, as training knew them: {left_out['fraud_numbers']:,} fraud numbers\n")
    for line in figures(evaluation):
        out(line)
    out(f"\n{arguments.out}: evaluation.json, report.html, {CARD}")
    return 0
