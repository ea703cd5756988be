"""`drift`: how far a table of vectors has moved from what a model was made on."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from detector.commands.common import Commands, add_command, out

if TYPE_CHECKING:
    from detector.learning.drift import Drifted, Report


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "drift",
        _drift,
        "compare a table of vectors with what a model was made on",
        "Prints the population stability index of every feature and of the score, the farthest first: from 0.1 watch,\n"
        "from 0.25 act. The running service shows the same as the metric detector_feature_drift. A bundle that was\n"
        "fitted without histograms is compared by its quantiles of honest numbers, which know nothing of the score.",
    )
    parser.add_argument(
        "--vectors",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="parquet, as `detector features` writes it",
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="FOLDER", help="the model's")
    parser.add_argument(
        "--against", type=Path, nargs="+", metavar="FILE", help="compare with these vectors instead of the bundle's own"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _drift(arguments: argparse.Namespace) -> int:
    import orjson

    from detector.learning.drift import measure, reference_of
    from detector.verdict.model import Model

    model = Model.load(arguments.bundle, any_features=True)
    reference = reference_of(arguments.against, model) if arguments.against else model.drift
    found = measure(arguments.vectors, model, reference)
    if arguments.json:
        tree = {
            "model": model.version,
            "vectors": found.vectors,
            "features": [asdict(each) | {"what": each.what} for each in found.drifted],
        }
        sys.stdout.write(orjson.dumps(tree, option=orjson.OPT_INDENT_2).decode() + "\n")
        return 0
    for line in lines(found):
        out(line)
    return 0


def lines(found: "Report") -> list[str]:
    """The report for the reader: a line a feature, then how many ask for something."""
    from detector.verdict.drift import ACT, LEAST_VECTORS, WATCH

    table = [_line("feature", "index", "", "moved", "unknown", "before")]
    table += [_told(each) for each in found.drifted]
    counts = {what: sum(each.what == what for each in found.drifted) for what in ("act", "watch", "steady", "unknown")}
    table.append(
        f"{found.vectors:,} vectors: {counts['act']} to act on (from {ACT}), {counts['watch']} to watch "
        f"(from {WATCH}), {counts['steady']} steady, {counts['unknown']} that cannot be compared"
    )
    if not found.enough:
        table.append(f"fewer than {LEAST_VECTORS:,} vectors: an index of {10 / max(1, found.vectors):.2g} is chance")
    return table


def _told(each: "Drifted") -> str:
    return _line(
        each.feature,
        "-" if each.index is None else f"{each.index:.3f}",
        each.what,
        "-" if each.moved is None else f"{each.moved:+.1f}",
        "-" if each.unknown is None else f"{each.unknown:.1%}",
        "-" if each.unknown_before is None else f"{each.unknown_before:.1%}",
    )


def _line(feature: str, index: str, what: str, moved: str, unknown: str, before: str) -> str:
    return f"{feature:<24}{index:>8}  {what:<8}{moved:>6}{unknown:>9}{before:>9}"
