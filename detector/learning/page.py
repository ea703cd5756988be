"""Page: an evaluation as one HTML file that needs no network: the figures, and the plots that show them.

evaluation.json -> sections of tables and SVG -> report.html
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from detector.learning import plots
from detector.learning.plots import Line
from detector.learning.tablecard import percent, shown
from detector.verdict.manifest import LEVELS

TOP_FEATURES: Final = 15
ENOUGH: Final = 40
"""Number-days from which on a calibration bin's error is told: its share is then known to 0.08 (standard error)."""
_STYLE: Final = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#24292f;background:#fff;max-width:1020px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}
.origin{display:inline-block;padding:.15rem .6rem;border-radius:1rem;background:#fff3cd;font-weight:600}
.origin.real{background:#d1f0dd}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:1.5rem}
figure{margin:0}figcaption,caption,.said{color:#57606a;font-size:.88rem}
caption{caption-side:bottom;text-align:left;padding-top:.4rem}
.of{border:1px solid #d8dee4;border-radius:.6rem;padding:0 .45rem;font-size:.78rem;white-space:nowrap}
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#24292f}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .7rem;border-bottom:1px solid #d8dee4;text-align:right}
th:first-child,td:first-child{text-align:left}
.legend{margin:.1rem 0;font-size:.85rem}.legend span{margin-right:1rem}
.legend i{display:inline-block;width:.8rem;height:.8rem;margin-right:.3rem;vertical-align:-.08rem}
.tiles{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}
.tiles div{border:1px solid #d8dee4;border-radius:.5rem;padding:.6rem 1rem}
.tiles b{display:block;font-size:1.4rem}.tiles small{color:#57606a}
ul{padding-left:1.2rem}li{margin:.15rem 0}
"""
_BOTH: Final = ("shown", "seen")
_NEVER: Final = "never"
"""The median of delays of which half or more are endless."""


def page(evaluation: Mapping[str, Any]) -> str:
    """The whole report."""
    simulated = evaluation["figures"] == "simulator"
    origin = "Figures of the simulator" if simulated else "Figures of real traffic, by its table"
    bundle = evaluation["bundle"]
    title = f"Evaluation of {bundle['version']}"
    body = "\n".join(_sections(evaluation))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head><body>\n'
        f'<h1>{escape(title)}</h1>\n<p class="origin{"" if simulated else " real"}">{origin}</p>\n'
        f"{body}\n</body></html>\n"
    )


def _sections(evaluation: Mapping[str, Any]) -> Iterator[str]:
    table = evaluation["table"]
    of = "simulator" if evaluation["figures"] == "simulator" else "real"
    yield (
        f"<p>{table['fraud_numbers']:,} fraud and {table['honest_numbers']:,} honest numbers, "
        f"{table['honest_number_days']:,} honest number-days. A number counts once, by its greatest margin. "
        "Intervals in brackets hold 95 %, drawn by number; a figure without one has none.</p>"
    )
    yield _tiles(evaluation, of)
    yield "<h2>At each level</h2>" + _levels(evaluation, of)
    drawn = "".join(_figure(plot, words, of) for plot, words in _figures(evaluation))
    yield f'<h2>What the margins are worth</h2><div class="grid">{drawn}</div>'
    if evaluation["delay"] and evaluation["delay"].get("numbers"):
        yield "<h2>How long it takes until the flag</h2>" + _delays(evaluation["delay"], of)
    if evaluation["types"]:
        yield "<h2>By type of fraud</h2>" + _types(evaluation["types"], of)
    if evaluation.get("groups"):
        yield "<h2>By group of types</h2>" + _groups(evaluation["groups"], evaluation["levels"], of)
    if evaluation["hard_negatives"]:
        yield "<h2>Honest numbers that are hard to tell</h2>" + _hard(evaluation["hard_negatives"], of)
    if evaluation.get("contrast"):
        yield "<h2>Beside something simpler, and with less to go by</h2>" + _contrasts(evaluation, of)
    notes = "".join(f"<li>{escape(note)}</li>" for note in table["notes"])
    yield f"<h2>What this cannot say</h2><ul>{notes}</ul>"


def _tiles(evaluation: Mapping[str, Any], of: str) -> str:
    levels = evaluation["levels"]
    tiles = [
        *((f"Recall at {level}", percent(levels[level]["recall"])) for level in ("watch", "flag")),
        ("Area under the curve", shown(evaluation["ranking"]["area"])),
        ("Average precision", shown(evaluation["ranking"]["average_precision"])),
    ]
    shown_tiles = []
    for name, text in tiles:
        value, _, rest = text.partition(" (")
        shown_tiles.append(f"<div><small>{escape(name)}</small><b>{value}</b><small>{rest.rstrip(')')}</small></div>")
    reached = ", ".join(_reached(level, levels[level]) for level in ("watch", "flag"))
    words = _caption(f"At the bundle's own thresholds: {reached}.", of)
    return f'<div class="tiles">{"".join(shown_tiles)}</div><p class="said">{words}</p>'


def _levels(evaluation: Mapping[str, Any], of: str) -> str:
    first = next(iter(evaluation["levels"].values()))
    prevalences = [at["prevalence"] for at in first["at_prevalence"]]
    head = ["level", "margin", "recall of fraud numbers", "honest number-days wronged", "honest numbers"]
    head += [f"precision at {at:.2%} fraud" for at in prevalences]
    head += [f"alerts per million scored number-days at {at:.2%}" for at in prevalences]
    rows = []
    for level, said in evaluation["levels"].items():
        row = [level, f"{said['margin']:.2f}", percent(said["recall"]), percent(said["honest_days"], 3)]
        row.append(f"{said['honest_numbers_reached']:,}")
        row += [percent(at["precision"], 0) for at in said["at_prevalence"]]
        row += [shown(at["alerts"], 0) for at in said["at_prevalence"]]
        rows.append(row)
    words = "At the bundle's own thresholds. A number that began too little to be scored on a day is in none of these."
    return _table(head, rows, words, of)


def _figures(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each plot and what is to be said below it."""
    curve = [(recall, precise) for recall, precise in evaluation["curves"]["precision_recall"]]
    yield (
        plots.lines(
            "Precision against recall",
            plots.share_axis("recall of fraud numbers"),
            plots.share_axis("precision"),
            [Line("", curve)],
        ),
        f"Precision and recall at the table's own share of fraud, {_share_of_numbers(evaluation):.1%} of its numbers.",
    )
    yield _calibration(evaluation["calibration"])
    delay = evaluation["delay"]
    if delay and delay.get("recall_by_victims"):
        points = [(float(k), share) for k, share in delay["recall_by_victims"]]
        yield (
            plots.lines(
                "Recall against victims",
                plots.log_axis("victims so far", [k for k, _ in points]),
                plots.share_axis("fraud numbers flagged by then"),
                [Line("", points, plots.ORANGE, steps=True)],
            ),
            "Recall against victims (estimated): " + _half(delay["victims"]["median"], "after {} of them"),
        )
    if delay and delay.get("distribution"):
        points = [(seconds, share) for seconds, share in delay["distribution"]]
        yield (
            plots.lines(
                "Delay",
                plots.log_axis("seconds since the fraud began", [s for s, _ in points]),
                plots.share_axis("fraud numbers flagged by then"),
                [Line("", points, plots.GREEN, steps=True)],
            ),
            "Delay until the flag: " + _half(delay["seconds"]["median"], "within {} s"),
        )
    if evaluation.get("importance"):
        named = [(one["feature"], one["drop"]) for one in evaluation["importance"][:TOP_FEATURES]]
        yield (
            plots.bars("Feature importance", "fall of the area under the curve, of 1", named, plots.BLUE),
            "Fall of the area under the curve when a feature's values are dealt out anew, once; where it is below "
            "zero the area rose, by chance.",
        )


def _calibration(calibration: Mapping[str, Any]) -> tuple[str, str]:
    """Bins of many number-days and of few, and how far off they are."""
    bins = calibration["bins"]
    many = [one for one in bins if one["number_days"] >= ENOUGH]
    few = [one for one in bins if one["number_days"] < ENOUGH]
    drawn = [Line("as it should be", [(0, 0), (1, 1)], plots.FAINT, dashed=True)]
    for name, some, colour in (
        (f"{ENOUGH} number-days or more", many, plots.BLUE),
        ("fewer", few, plots.GREY),
    ):
        if some:
            drawn.append(Line(name, [(one["shown"], one["seen"]) for one in some], colour, dots=True))
    usual = max(bins, key=lambda one: int(one["number_days"]))
    share = usual["number_days"] / sum(one["number_days"] for one in bins)
    words = (
        f"Calibration in bins of equal width. Over number-days the mean error is {calibration['mean_error']:.3f}, "
        f"{share:.0%} of them in the bin at {usual['shown']:.2f}"
    )
    if many:
        worst = max(many, key=lambda one: abs(float(one["shown"]) - float(one["seen"])))
        words += (
            f"; the largest error of a bin of {ENOUGH} or more is {abs(worst['shown'] - worst['seen']):.2f}: "
            f"{worst['shown']:.2f} shown where {worst['seen']:.2f} was fraud ({worst['number_days']:,} number-days)"
        )
    if between := bins[1:-1]:
        days = sum(one["number_days"] for one in between)
        shown_there, seen_there = (sum(one[what] * one["number_days"] for one in between) / days for what in _BOTH)
        words += (
            f". Between the lowest bin and the highest, {days:,} number-days, {shown_there:.2f} is shown on average "
            f"where {seen_there:.2f} was fraud"
        )
    plot = plots.lines(
        "Calibration", plots.share_axis("display value"), plots.share_axis("share that was fraud"), drawn
    )
    return plot, words + "."


def _share_of_numbers(evaluation: Mapping[str, Any]) -> float:
    table = evaluation["table"]
    return float(table["fraud_numbers"] / max(1, table["numbers"]))


def _delays(delay: Mapping[str, Any], of: str) -> str:
    """From the first fraudulent event to the flag, in each of the ways in which it is known."""
    head = ["counted in", "median", "p90", "within 5", "within 20", "within 50"]
    rows = []
    for what, name in (
        ("events", "events"),
        ("vectors", "vectors scored"),
        ("victims", "victims, estimated"),
        ("seconds", "seconds"),
    ):
        if what in delay:
            within = delay.get(f"caught_within_{what}") or {}
            cells = [f"{within[k]:.1%}" if within.get(k) is not None else "-" for k in ("5", "20", "50")]
            rows.append([name, _said(delay[what]["median"]), _said(delay[what]["p90"]), *cells])
    words = f"Of {delay['numbers']:,} fraud numbers, whether they were flagged or not; {_to_the_flag(rows)}."
    if "vectors" in delay:
        words += " Vectors scored are fewer than events: none was taken at the others."
    words += (
        f" {delay['damage_not_prevented']:.1%} of what a fraud began, on average, had come by then. "
        f"{delay['began_earlier']:,} fraud numbers that were so before the table begins have no delay."
    )
    return _table(head, rows, words, of)


def _types(types: Sequence[Mapping[str, Any]], of: str) -> str:
    head = ["type", "numbers", *LEVELS, "median delay, s", "median victims"]
    rows = []
    for kind in types:
        delay = kind["delay"] or {}
        rows.append(
            [
                kind["type"],
                f"{kind['numbers']:,}",
                *(percent(kind["recall"][level], 0) for level in LEVELS),
                _median(delay, "seconds"),
                _median(delay, "victims"),
            ]
        )
    words = f"At the bundle's own thresholds; {_to_the_flag(rows)}. A number of several types counts in one of them."
    return _table(head, rows, words, of)


def _groups(groups: Sequence[Mapping[str, Any]], levels: Mapping[str, Any], of: str) -> str:
    """At the bundle's own thresholds; what is read off this table stands behind it."""
    head = ["group", "numbers", "watch", "flag", "median delay, s", "median victims", "by the 20th victim"]
    head += ["read off at 0.1 %", "at 0.01 %"]
    rows = []
    for group in groups:
        delay = group["delay"] or {}
        early = (delay.get("caught_within_victims") or {}).get("20")
        rows.append(
            [
                group["group"],
                f"{group['numbers']:,}",
                *(percent(group["recall"][level]) for level in ("watch", "flag")),
                _median(delay, "seconds"),
                _median(delay, "victims"),
                "-" if early is None else f"{early:.0%}",
                *(percent(one["recall"]) + _beyond(one) for one in group["read_off"]),
            ]
        )
    reached = ", ".join(_reached(level, levels[level]) for level in ("watch", "flag"))
    words = (
        f"Watch and flag are the bundle's own thresholds: {reached}; {_to_the_flag(rows)}. Read off is at margins that "
        "0.1 % and 0.01 % of this table's own honest number-days reach: how the model ranks, not what it does."
    )
    return _table(head, rows, words, of)


def _reached(level: str, said: Mapping[str, Any]) -> str:
    """By how many honest number-days a threshold was to be reached, and by how many of this table it is."""
    share = percent(said["honest_days"], 3)
    return f"{level} was set at {100 * said['set_at']:g} % of honest number-days, {share} reach it"


def _beyond(said: Mapping[str, Any]) -> str:
    return ", beyond the data" if said.get("extrapolated") else ""


def _hard(profiles: Sequence[Mapping[str, Any]], of: str) -> str:
    rows = [
        [
            one["profile"],
            f"{one['number_days']:,}",
            *(f"{one['reached'][level]:,}" for level in LEVELS),
        ]
        for one in sorted(profiles, key=lambda one: (-one["reached"]["watch"], -one["reached"]["flag"], one["profile"]))
    ]
    words = "Number-days that reached the bundle's own thresholds."
    return _table(["profile", "number-days", "reached watch", "flag", "block"], rows, words, of)


def _contrasts(evaluation: Mapping[str, Any], of: str) -> str:
    """A column for each level at which any recall is known."""
    contestants = (evaluation["contrast"], *evaluation["baselines"], *evaluation["ablations"])
    shares = {
        level: name
        for level, name in (("watch", "recall at 0.1 %"), ("flag", "recall at 0.01 %"))
        if any(one["recall"][level]["value"] is not None for one in contestants)
    }
    head = ["scored by", "area", "average precision", *shares.values()]
    rows = [
        [
            one["name"],
            f"{one['area']:.4f}",
            f"{one['average_precision']:.4f}",
            *(percent(one["recall"][level]) for level in shares),
        ]
        for one in contestants
    ]
    notes = "".join(f"<li>{escape(note)}</li>" for note in evaluation["contrast_notes"])
    words = "Margins are those that these shares of the honest number-days reach of which each was judged."
    if not shares:
        words = "The honest number-days are too few for any margin to be read off."
    return _table(head, rows, words, of) + f"<ul>{notes}</ul>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], words: str, of: str) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><caption>{_caption(words, of)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _figure(drawn: str, words: str, of: str) -> str:
    return f"<figure>{drawn}<figcaption>{_caption(words, of)}</figcaption></figure>"


def _caption(words: str, of: str) -> str:
    """With what it is of, the simulator or real traffic: whoever copies a figure takes that along."""
    return f'<span class="of">{of}</span> {escape(words)}'


def _half(median: float | None, flagged: str) -> str:
    """By when half of the fraud numbers are flagged, if ever."""
    if median is None:
        return "half of the fraud numbers or more are never flagged."
    return f"half of the fraud numbers are flagged {flagged.format(_said(median))}; those that never are stay below."


def _to_the_flag(rows: Sequence[Sequence[str]]) -> str:
    """What the delays among `rows` are."""
    never = f", and are {_NEVER} where too many of the numbers are not flagged at all"
    return "delays run to the bundle's flag" + (never if any(_NEVER in row for row in rows) else "")


def _median(delay: Mapping[str, Any], what: str) -> str:
    """A dash where there is no number whose delay is known."""
    return _said(delay[what]["median"]) if delay.get("numbers") and what in delay else "-"


def _said(value: float | None) -> str:
    return _NEVER if value is None else f"{value:,.0f}"
