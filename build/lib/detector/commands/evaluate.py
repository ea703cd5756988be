"""`evaluate`: what a bundle is worth on vectors whose labels are known."""

import argparse
from pathlib import Path

from detector.commands.common import Commands, add_command, out, say
from detector.commands.fit import add_table, roles_of


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "evaluate",
        _evaluate,
        "judge a model bundle on a table of labelled vectors",
        "Writes evaluation.json, report.html (one file, no network) and MODEL_CARD.md. A number counts once; bars are\n"
        "the bundle's thresholds; intervals are drawn by number. The table must not hold what it was fitted on.",
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="FOLDER", help="the model bundle")
    add_table(parser, required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the three files go")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of intervals, folds and samples (default: 1)")
    parser.add_argument("--quick", action="store_true", help="without importance, baselines and ablations")
    parser.add_argument(
        "--update-card", action="store_true", help="put MODEL_CARD.md into the bundle too, in place of its own"
    )


def _evaluate(arguments: argparse.Namespace) -> int:
    from detector.learning.card import CARD
    from detector.learning.judging import evaluate_bundle, write_evaluation
    from detector.learning.table import read_table
    from detector.learning.tablecard import figures
    from detector.verdict.model import Model

    model = Model.load(arguments.bundle, any_features=True)
    fit = model.manifest.fit
    defaults = fit.inputs["columns"] if fit else None
    table = read_table(arguments.vectors, roles_of(arguments), model.names, arguments.kind, defaults)
    evaluation = evaluate_bundle(arguments.bundle, model, table, arguments.seed, say, quick=arguments.quick)
    write_evaluation(arguments.out, evaluation, model)
    if arguments.update_card:
        (arguments.bundle / CARD).write_bytes((arguments.out / CARD).read_bytes())
    out(f"{model.version} on {', '.join(table.files)}: figures of {evaluation['figures']}\n")
    for line in figures(evaluation):
        out(line)
    out(f"\n{arguments.out}: evaluation.json, report.html, {CARD}")
    return 0
