"""Judging: a bundle and a table of labelled vectors become evaluation.json, report.html and MODEL_CARD.md.

    bundle -> margins of the table, as far as numbers were followed -> assess; importance, baselines, ablations -> files

Which numbers the bundle was fitted on is not known to it: whoever gives the table sees to it that they are not in it.
What it was fitted on, or its thresholds set on, is known again by the files' and the rows' hashes (`digests`): it is
said, and `promotion` says no.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from detector.features.catalogue import NAMES
from detector.learning.assessment import Judged, assess
from detector.learning.contrasts import contrasts, importance
from detector.learning.digests import seen_by
from detector.learning.followup import figures_of
from detector.learning.page import page
from detector.learning.table import Table
from detector.learning.tablecard import CARD, table_card
from detector.verdict.bundle import read_estimator
from detector.verdict.manifest import Calibration, Fit, Manifest
from detector.verdict.model import Model
from detector.verdict.trees import Margins, Vectors

EVALUATION: Final = "evaluation.json"
REPORT: Final = "report.html"
ROWS: Final = 10_000
"""Vectors that features are dealt out anew among."""


def evaluate_bundle(
    bundle: Path,
    model: Model,
    table: Table,
    seed: int,
    say: Callable[[str], None],
    *,
    quick: bool = False,
    groups: Mapping[str, Collection[str]] | None = None,
) -> dict[str, Any]:
    """The evaluation of the model of `bundle` on `table`; `quick` leaves importance, baselines and ablations out.

    `groups`: types of fraud to judge together, by name.
    """
    manifest = model.manifest
    table = figures_of(table)
    say(f"scoring {len(table):,} vectors")
    fit = manifest.fit
    prevalence = fit.prevalence if fit else None
    calibration = manifest.calibration
    if prevalence is not None:
        calibration = Calibration(a=calibration.a, b=prevalence.training_b)
    margins = _batched(bundle, model)
    judged = Judged.of(table, margins(table.vectors), manifest.thresholds)
    training = prevalence.training if prevalence else None
    evaluation = assess(judged, manifest.thresholds, calibration, training, seed, groups)
    seen = _seen(table, fit)
    evaluation["bundle"] = {
        "version": manifest.version,
        "estimator": fit.estimator if fit else "trees",
        "kind": manifest.data.kind,
        "features": len(manifest.features),
        "feature_hash": manifest.feature_hash,
        "trained_from_ms": manifest.data.first_ms,
        "trained_until_ms": manifest.data.last_ms,
        "seen": sorted({file for files in seen.values() for file in files}),
    }
    for what, files in seen.items():
        if files:
            evaluation["table"]["notes"].append(
                f"{what} {', '.join(files)} itself, or on records of it: these figures flatter."
            )
    evaluation["table"]["notes"] += _served_otherwise(table, manifest)
    if not quick:
        say("dealing features out anew")
        evaluation["importance"] = importance(table, margins, ROWS, seed)
        evaluation |= contrasts(
            table, fit.estimator if fit else "trees", seed, say, dict(fit.monotone) if fit else None
        )
    return evaluation


def write_evaluation(out: Path, evaluation: Mapping[str, Any], model: Model) -> None:
    """The three files lie in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / EVALUATION).write_bytes(msgspec.json.format(msgspec.json.encode(evaluation), indent=1) + b"\n")
    (out / REPORT).write_text(page(evaluation), encoding="utf-8")
    (out / CARD).write_text(table_card(model.manifest, evaluation), encoding="utf-8")


def _seen(table: Table, fit: Fit | None) -> dict[str, list[str]]:
    """Files of the table that the bundle has seen, by what they were to it."""
    if fit is None:
        return {}
    tuned_on = fit.split["thresholds"] if fit.split["by"] == "table" else {}
    return {
        what: seen_by(table, files, rows)
        for what, files, rows in (
            ("The bundle was fitted on", fit.inputs["files"], fit.inputs.get("rows", "")),
            ("The bundle's thresholds were set on", tuned_on, fit.split.get("thresholds_rows", "")),
        )
    }


def _served_otherwise(table: Table, manifest: Manifest) -> list[str]:
    """Where serving scores other moments than the table holds. Told and not refused: bundles of several floors are
    compared on one table."""
    notes = []
    if table.sparse:
        notes.append(
            f"Figures are of vectors taken at {table.moments}; serving scores each event, so that honest number-days "
            "reach thresholds more often, and frauds too."
        )
    if table.floor is not None and manifest.features == NAMES and table.floor != manifest.activity_floor:
        notes.append(
            f"Vectors are of numbers that began {table.floor} calls or messages in 24 h or more, while with this "
            f"bundle serving scores those that began {manifest.activity_floor}: figures are of others than are served."
        )
    return notes


def _batched(bundle: Path, model: Model) -> Callable[[Vectors], Margins]:
    """Trees are scored by our kernel; anything else in batches: here the last bit of a margin does not matter."""
    if "trees.npz" in model.manifest.files:
        return model.margins
    score: Callable[[Vectors], Margins] = read_estimator(bundle).decision_function
    return score
