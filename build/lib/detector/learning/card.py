"""The card that lies in a bundle: what the model is, what it was trained on, and what it cannot do."""

from typing import Final

from detector.learning.evaluation import Report
from detector.learning.seeds import Sizes
from detector.learning.thresholds import FEWEST, SHARES
from detector.verdict.manifest import Manifest

CARD: Final = "MODEL_CARD.md"

_TEXT: Final = """# Model card: {version}

**Trained on simulated traffic only.** No real call or message has been seen by this model. It may flag; it does
not block unless the configuration accepts a simulated model (`model.accept_simulated`). Fit one on your own
network's records and labels before anybody's service depends on it.

## What it is
Gradient-boosted trees (scikit-learn HistGradientBoosting, at most 100 trees of 31 leaves) over the {features}
features of the catalogue. It scores a number after each call or message it begins, once it has begun {floor}
within 24 hours.

## What it was trained on
{training} simulated networks of {numbers:,} subscribers over {days} days, seed {seed}: {vectors:,} vectors, a
number-day weighing 1. {prevalence:.1%} of the numbers were fraudulent, far more than in any real network. The
first seven days of each network warm the windows and are not used.

## Thresholds
On the margin, read off the greatest margin of each of {honest_days:,} honest number-days in {validation}
further networks:

| level | honest number-days that reach it | margin |
| --- | ---: | ---: |
{thresholds}

A threshold that fewer than {fewest} number-days reach is extrapolated by the exponential that fits the
highest tenth of a percent, and lies at least at the greatest margin seen.

## What it does
Figures of the simulator, on networks held out from training and thresholds. Delays run from a number's first
fraudulent event to the flag; victims are the distinct numbers it had tried by then. Rules are not part of these
figures.

{report}

## What it cannot do
- Real fraud and real honest lives are more varied than the simulator's: expect less than these figures.
- It sees one number at a time: no ranges, no cohorts of SIMs, no devices shared between numbers.
- It does not see content, the call-back leg of Wangiri, or a single long call before it ends.
- The unusual honest lives named above are the ones it wrongs first.
"""


def card(manifest: Manifest, sizes: Sizes, honest_days: int, report: Report) -> str:
    """The card of a bundle, as Markdown."""
    thresholds = [
        f"| {level} | {share:.3%} | {getattr(manifest.thresholds, level):.3f} |" for level, share in SHARES.items()
    ]
    return _TEXT.format(
        version=manifest.version,
        features=len(manifest.features),
        floor=manifest.activity_floor,
        training=sizes.training,
        numbers=sizes.numbers,
        days=sizes.days,
        seed=manifest.data.seed,
        vectors=manifest.data.vectors,
        prevalence=manifest.data.prevalence,
        honest_days=honest_days,
        validation=sizes.validation,
        thresholds="\n".join(thresholds),
        fewest=FEWEST,
        report="\n".join(report.lines()),
    )
