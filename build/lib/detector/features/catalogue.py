"""The catalogue: the only place that says what a feature is.

`vectors` writes them in this order, the model's manifest carries `feature_hash()`, reasons quote
the sentences. A name is `{measure}_{window}`. NaN means "cannot be known": an empty denominator, a
saturated sketch, a source without phases.

Words of the formulas: the counters of `tiles` (`_o`: it originates, `_i`: it receives), summed
over the window; O = began_o + sms_o. Sets: D recipients called or written to, D_in originators,
V devices, C cells, Z destination zones; D, V, C and Z stand for their estimated sizes. `scale` =
window / covered span, where the covered span is as-of less the window's oldest edge: it makes
flows comparable whatever the place within the hop. Sets, hours and levels are not flows and are
not scaled; shares divide sums over one and the same span, at most 1.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

WINDOWS: Final = {"5m": "5 minutes", "1h": "hour", "24h": "24 hours", "7d": "7 days"}


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a vector."""

    name: str
    measure: str
    window: str
    formula: str
    unit: str
    meaning: str
    """A sentence for an analyst."""
    points_at: str
    """The fraud it helps to see."""


def _over(windows: str, measure: str, formula: str, unit: str, meaning: str, points_at: str) -> list[Feature]:
    """One measure over several windows; `{window}` in the meaning becomes the window in words."""
    return [
        Feature(
            f"{measure}_{window}", measure, window, formula, unit, meaning.format(window=WINDOWS[window]), points_at
        )
        for window in windows.split()
    ]


FEATURES: Final[tuple[Feature, ...]] = (
    *_over("5m 1h 24h 7d", "calls_out", "began_o * scale", "calls",
           "Calls it began in the last {window}.", "robocalls, Wangiri"),
    *_over("24h 7d", "calls_in", "began_i * scale", "calls",
           "Calls it received in the last {window}.", "SIM box, when low"),
    *_over("5m 1h 24h 7d", "sms_out", "sms_o * scale", "messages",
           "Messages it sent in the last {window}.", "smishing, SIM farm"),
    *_over("24h 7d", "sms_in", "sms_i * scale", "messages",
           "Messages it received in the last {window}.", "SIM box, when low; a burst of one-time codes"),
    *_over("5m 1h 24h 7d", "distinct_out", "D", "numbers",
           "Different numbers it called or wrote to in the last {window}.", "every fan-out"),
    *_over("5m 1h 24h 7d", "distinct_share",
           "min(1, D / O); saturated: that of the longest shorter window with traffic that is not, else 1", "share",
           "How much of what it began in the last {window} went to different numbers.",
           "calling strangers: robocalls, SIM box, smishing"),
    *_over("7d", "distinct_in", "D_in", "numbers",
           "Different numbers that called or wrote to it in the last {window}.", "no social life: SIM box, robocalls"),
    *_over("24h 7d", "reciprocity", "(D + D_in - |D or D_in|) / D, in 0..1; NaN if one is saturated", "share",
           "How many of the numbers it contacted in the last {window} contacted it too.",
           "one-way traffic to strangers"),
    *_over("7d", "repeat_peers", "share of D met on two or more days, corrected for chance; NaN if saturated", "share",
           "How many of the numbers it contacted in the last {window} it contacted on more than one day.",
           "no repeated contacts: robocalls, SIM box"),
    *_over("24h 7d", "out_share", "began_o / (began_o + began_i)", "share",
           "How much of its calling in the last {window} it began itself.", "SIM box, robocalls"),
    *_over("24h 7d", "sms_in_share", "sms_i / (sms_i + sms_o)", "share",
           "How much of its messaging in the last {window} it received.", "SIM box, SIM farm, when low"),
    *_over("7d", "talk_in_share", "talk_i / (talk_i + talk_o)", "share",
           "How much of its talk time in the last {window} was on calls it received.", "one-way traffic: SIM box"),
    *_over("1h 24h 7d", "answered_share", "answered_o / began_o", "share",
           "How many of the calls it began in the last {window} were answered.", "robocalls, when low"),
    *_over("1h 24h 7d", "short_share", "short_o / answered_o", "share",
           "How many of its answered calls in the last {window} ended within 6 seconds.", "robocalls"),
    *_over("5m 1h 24h", "cancelled_share", "cancelled_o / began_o", "share",
           "How many of the calls it began in the last {window} it hung up before an answer.", "Wangiri"),
    *_over("1h 24h", "failed_share", "failed_o / began_o", "share",
           "How many of the calls it began in the last {window} went to numbers that do not exist.",
           "sequential dialling"),
    *_over("24h", "talk_mean", "talk_o / answered_o", "s",
           "Mean talk time of its answered calls in the last {window}.", "international revenue share fraud"),
    *_over("5m 1h 24h", "risk_calls", "risk_o * scale", "calls",
           "Calls it began to premium, satellite or high-risk zones in the last {window}.",
           "international revenue share fraud"),
    *_over("1h 24h", "risk_talk", "risk_talk_o * scale", "s",
           "Talk time to premium, satellite or high-risk zones in the last {window}.",
           "international revenue share fraud"),
    *_over("24h", "intl_share", "intl_o / began_o", "share",
           "How many of the calls it began in the last {window} went abroad.", "international revenue share fraud"),
    *_over("24h", "zones", "Z", "zones",
           "Different destination zones it called or wrote to in the last {window}.",
           "international revenue share fraud, probing"),
    *_over("24h", "open_calls", "max(0, began_o - ended_o); NaN if no row began or ended a call alone", "calls",
           "Calls it has in progress, of those begun in the last {window}.",
           "concurrent international revenue share fraud"),
    *_over("24h 7d", "devices", "V", "devices",
           "Different devices it used in the last {window}.", "SIM rotation"),
    *_over("24h 7d", "cells", "C", "cells",
           "Different cells it originated from in the last {window}.", "SIM box, when one or two"),
    *_over("24h", "active_hours", "hour tiles with O > 0, at most 24", "hours",
           "Hours of the last {window} in which it called or wrote.", "machines that work round the clock"),
    *_over("7d", "hours_of_day", "bits of the OR of the days' masks of local hours", "hours",
           "Different hours of the day at which it called or wrote in the last {window}.", "office or burst rhythm"),
    *_over("7d", "active_days", "day tiles with O > 0, at most 7", "days",
           "Days of the last {window} on which it called or wrote.", "short-lived numbers"),
    *_over("24h", "ramp", "(O_24h * scale + 1) / (O of the rest of the 7 days, a day, + 1)", "ratio",
           "Its calls and messages of the last {window} against a day of the week before.", "onset, takeover"),
    *_over("24h", "peak_hour_share", "largest hour tile of O / O", "share",
           "How much of what it began in the last {window} fell into its busiest hour.",
           "bursts; low for a steady farm"),
    *_over("24h", "night_share", "O begun between 00 and 06 local time / O", "share",
           "How much of what it began in the last {window} was at night.", "PBX hacking"),
    *_over("24h", "unattested_share", "unattested_o / began_o", "share",
           "How many of the calls it began in the last {window} the network did not vouch for.", "spoofed robocalls"),
)  # fmt: skip

NAMES: Final = tuple(feature.name for feature in FEATURES)
INDEX: Final = {name: index for index, name in enumerate(NAMES)}
"""Column of a feature in a vector."""


def columns(measure: str, windows: str) -> tuple[int, ...]:
    """The columns of `measure` over `windows`; raises `KeyError` for a feature that is not declared."""
    return tuple(INDEX[f"{measure}_{window}"] for window in windows.split())


def feature_hash() -> str:
    """SHA-256 of what the columns mean: names, formulas and units in order; wording does not count."""
    lines = (f"{feature.name}\t{feature.formula}\t{feature.unit}\n" for feature in FEATURES)
    return sha256("".join(lines).encode()).hexdigest()
