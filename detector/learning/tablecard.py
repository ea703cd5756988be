"""The card of a bundle that was fitted on a table: what it is, what it knows, what it did on numbers held out."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from detector.learning.thresholds import SHARES
from detector.verdict.manifest import LEVELS, Fit, Manifest

CARD: Final = "MODEL_CARD.md"
"""In the folder of a bundle."""
_SIMULATED: Final = """**Fitted on simulated traffic only.** No real call or message has been seen by this model. It may
flag; it does not block unless the configuration accepts a simulated model (`model.accept_simulated`).

"""
_LIMITS: Final = """## What it cannot do
- It knows the fraud that its labels name: what nobody has reported or found is not in it.
- It sees one number at a time: no ranges, no cohorts of SIMs, no devices shared between numbers.
- Prevalence in a table of labels is not that of a network: read precision at the operator's own.
"""


def table_card(manifest: Manifest, evaluation: Mapping[str, Any]) -> str:
    """The card, as Markdown: of a bundle, with an evaluation of it."""
    return "\n".join(_lines(manifest, evaluation)) + "\n"


def _lines(manifest: Manifest, evaluation: Mapping[str, Any]) -> Iterator[str]:
    fit, data = manifest.fit, manifest.data
    yield f"# Model card: {manifest.version}\n"
    if data.kind == "simulated":
        yield _SIMULATED.rstrip("\n") + "\n"
    yield "## What it is"
    yield from _what(manifest, fit)
    yield "\n## What it was fitted on"
    if fit is not None and fit.split["by"] == "table":
        yield (
            f"Thresholds were set on {fit.split['honest_number_days']:,} honest number-days of "
            f"{len(fit.split['thresholds'])} tables apart.\n"
        )
    yield (
        f"{data.vectors:,} vectors of {data.numbers:,} numbers, "
        f"{'simulated' if data.kind == 'simulated' else 'real by its table'}; {data.prevalence:.2%} of the numbers "
        f"fraud; seed {data.seed}."
    )
    if fit is not None:
        for file, digest in fit.inputs["files"].items():
            yield f"- `{file}`, SHA-256 {digest}"
        for note in fit.inputs["notes"]:
            yield f"- {note}"
    yield "\n## Thresholds\n"
    yield "| level | honest number-days to reach it | margin |\n| --- | ---: | ---: |"
    for level, share in SHARES.items():
        yield f"| {level} | {share:.3%} | {getattr(manifest.thresholds, level):.3f} |"
    yield f"\n## What it does\n\nFigures of {_source(evaluation)}. {_held_out(fit, evaluation)}\n"
    yield from figures(evaluation)
    yield "\n" + _LIMITS.rstrip("\n")


def figures(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """The figures of an evaluation as lines of Markdown."""
    table = evaluation["table"]
    yield (
        f"{table['fraud_numbers']:,} fraud and {table['honest_numbers']:,} honest numbers; "
        f"{table['honest_number_days']:,} honest number-days. Area under the curve "
        f"{shown(evaluation['ranking']['area'])}, average precision "
        f"{shown(evaluation['ranking']['average_precision'])}.\n"
    )
    yield (
        "| level | recall of fraud numbers | honest number-days wronged "
        "| alerts per million scored number-days at 0.1 % fraud | precision there |"
    )
    yield "| --- | ---: | ---: | ---: | ---: |"
    for level, said in evaluation["levels"].items():
        at = next(one for one in said["at_prevalence"] if one["prevalence"] == 1e-3)
        yield (
            f"| {level} | {percent(said['recall'])} | {percent(said['honest_days'], 3)} | "
            f"{shown(at['alerts'], 0)} | {percent(at['precision'])} |"
        )
    if evaluation["types"]:
        yield "\n| type | numbers | watch | flag | block |\n| --- | ---: | ---: | ---: | ---: |"
        for kind in evaluation["types"]:
            recalls = " | ".join(percent(kind["recall"][level]) for level in LEVELS)
            yield f"| {kind['type']} | {kind['numbers']} | {recalls} |"
    if evaluation.get("groups"):
        yield from _groups(evaluation)
    if evaluation["hard_negatives"]:
        yield "\n| honest numbers | number-days | watch | flag | block |\n| --- | ---: | ---: | ---: | ---: |"
        for one in evaluation["hard_negatives"]:
            reached = " | ".join(f"{one['reached'][level]:,}" for level in LEVELS)
            yield f"| {one['profile']} | {one['number_days']:,} | {reached} |"
    yield ""
    for note in table["notes"]:
        yield f"- {note}"


def _groups(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """Recall at the bundle's own thresholds, which the table has not set; what is read off stands behind it."""
    yield "\n| group | numbers | watch | flag | flagged by the 20th victim | read off at 0.1 % | at 0.01 % | what |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    for group in evaluation["groups"]:
        recalls = " | ".join(percent(group["recall"][level]) for level in ("watch", "flag"))
        delay = group["delay"] or {}
        early = (delay.get("caught_within_victims") or {}).get("20")
        soon = "not known" if early is None else f"{early:.0%} of {delay['numbers']:,}"
        read = " | ".join(_read_off(one) for one in group["read_off"])
        yield f"| {group['group']} | {group['numbers']} | {recalls} | {soon} | {read} | {', '.join(group['types'])} |"
    reached = ", ".join(
        f"`{level}`, set at {SHARES[level]:.2%} of honest number-days, by "
        f"{percent(evaluation['levels'][level]['honest_days'], 3)} of these"
        for level in ("watch", "flag")
    )
    yield (
        f"\nThe bundle's own thresholds were reached: {reached}. Victims are counted where the fraud began in the "
        "table. Read off is at margins that 0.1 % and 0.01 % of this table's own honest number-days reach: how the "
        "model ranks, not what it does."
    )


def _read_off(said: Mapping[str, Any]) -> str:
    return percent(said["recall"]) + (", beyond the data" if said["extrapolated"] else "")


def percent(said: Mapping[str, Any] | None, digits: int = 1) -> str:
    """An interval of shares."""
    if said is None or said["value"] is None:
        return "not known"
    return f"{said['value']:.{digits}%} ({said['low']:.{digits}%} to {said['high']:.{digits}%})"


def shown(said: Mapping[str, Any] | None, digits: int = 3) -> str:
    """An interval of anything else."""
    if said is None or said["value"] is None:
        return "not known"
    return f"{said['value']:,.{digits}f} ({said['low']:,.{digits}f} to {said['high']:,.{digits}f})"


def _what(manifest: Manifest, fit: Fit | None) -> Iterator[str]:
    if fit is None:
        yield f"Gradient-boosted trees over {len(manifest.features)} features."
        return
    settings = ", ".join(f"{name} {value}" for name, value in fit.parameters.items())
    yield f"Estimator `{fit.estimator}` over {len(manifest.features)} features ({settings})."
    if fit.search:
        kept = "the default was kept" if fit.search["default_kept"] else "the best draw was taken"
        yield f"Parameters were searched for in {len(fit.search['trials']) - 1} draws: {kept}."
    ways = {1: "rise", -1: "fall"}
    if fit.monotone:
        yield f"The margin may only {', '.join(f'{ways[way]} with {name}' for name, way in fit.monotone.items())}."
    at = fit.prevalence.operator
    yield (
        f"Display values are for {fit.prevalence.training if at is None else at:.4%} of number-days being fraud"
        f"{' (as in the table: no operator prevalence was given)' if at is None else ''}."
    )


def _source(evaluation: Mapping[str, Any]) -> str:
    return "the simulator" if evaluation["figures"] == "simulator" else "real traffic, by its table"


def _held_out(fit: Fit | None, evaluation: Mapping[str, Any]) -> str:
    if fit is None or "bundle" in evaluation or fit.split["by"] == "table":
        return f"Judged on {', '.join(evaluation['table']['files'])}: margins alone, no rules, lists or budgets."
    if fit.split["by"] == "time":
        return "The test is later than training and thresholds; numbers known as fraud in training are not in it."
    return (
        f"Each number was scored by a model fitted on the other {fit.split['folds'] - 1} of {fit.split['folds']} "
        "folds, and held to thresholds set on them."
    )
