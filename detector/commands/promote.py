"""`promote`: whether a challenger may take the champion's place, from their evaluations."""

import argparse
from pathlib import Path

from detector.commands.common import Commands, add_command, out


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "promote",
        _promote,
        "say whether a challenger may take the champion's place",
        "Compares two evaluations that `detector evaluate` wrote on one table, and changes nothing. No, if recall at\n"
        "0.1 % or 0.01 % false positives, or of an overt type, is lower by more than chance, fraud by fraud; if\n"
        "frauds or honest number-days are too few to tell; if more honest numbers are touched than by chance; if the\n"
        "challenger flags less than half of what the champion does; if the training data are older; if features\n"
        "differ; if simulated meets real; if one of them has seen the table. Exit 0 for yes, 1 for no.",
    )
    for name in ("champion", "challenger"):
        parser.add_argument(
            f"--{name}", type=Path, required=True, metavar="FILE", help=f"the evaluation.json of the {name}"
        )


def _promote(arguments: argparse.Namespace) -> int:
    from detector.learning.promotion import promote, read_evaluation

    verdict = promote(read_evaluation(arguments.champion), read_evaluation(arguments.challenger))
    out(f"{'yes' if verdict.promote else 'no'}: {verdict.challenger} in place of {verdict.champion}")
    for reason in verdict.against:
        out(f"  against: {reason}")
    for reason in verdict.favour:
        out(f"  in favour: {reason}")
    return 0 if verdict.promote else 1
