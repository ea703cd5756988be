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
_STYLE: Final = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#24292f;background:#fff;max-width:1020px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}
.origin{display:inline-block;padding:.15rem .6rem;border-radius:1rem;background:#fff3cd;font-weight:600}
.origin.real{background:#d1f0dd}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:1.5rem}
figure{margin:0}figcaption{color:#57606a;font-size:.88rem}
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
    yield (
        f"<p>{table['fraud_numbers']:,} fraud and {table['honest_numbers']:,} honest numbers, "
        f"{table['honest_number_days']:,} honest number-days. A number counts once, by its greatest margin. "
        "Intervals hold 95 %, drawn by number.</p>"
    )
    yield _tiles(evaluation)
    yield "<h2>At each level</h2>" + _levels(evaluation)
    yield '<h2>What the margins are worth</h2><div class="grid">' + "".join(_figures(evaluation)) + "</div>"
    if evaluation["types"]:
        yield "<h2>By type of fraud</h2>" + _types(evaluation["types"])
    if evaluation.get("groups"):
        yield "<h2>By group of types</h2>" + _groups(evaluation["groups"])
    if evaluation["hard_negatives"]:
        yield "<h2>Honest numbers that are hard to tell</h2>" + _hard(evaluation["hard_negatives"])
    if evaluation.get("contrast"):
        yield "<h2>Beside something simpler, and with less to go by</h2>" + _contrasts(evaluation)
    notes = "".join(f"<li>{escape(note)}</li>" for note in table["notes"])
    yield f"<h2>What this cannot say</h2><ul>{notes}</ul>"


def _tiles(evaluation: Mapping[str, Any]) -> str:
    levels = evaluation["levels"]
    tiles = [
        ("Recall at watch (0.1 % of honest number-days)", percent(levels["watch"]["recall"])),
        ("Recall at flag (0.01 %)", percent(levels["flag"]["recall"])),
        ("Area under the curve", shown(evaluation["ranking"]["area"])),
        ("Average precision", shown(evaluation["ranking"]["average_precision"])),
    ]
    shown_tiles = []
    for name, text in tiles:
        value, _, rest = text.partition(" (")
        shown_tiles.append(f"<div><small>{escape(name)}</small><b>{value}</b><small>{rest.rstrip(')')}</small></div>")
    return f'<div class="tiles">{"".join(shown_tiles)}</div>'


def _levels(evaluation: Mapping[str, Any]) -> str:
    first = next(iter(evaluation["levels"].values()))
    prevalences = [at["prevalence"] for at in first["at_prevalence"]]
    head = ["level", "margin", "recall of fraud numbers", "honest number-days wronged", "honest numbers"]
    head += [f"precision at {at:.2%} fraud" for at in prevalences]
    head += [f"alerts a day and million at {at:.2%}" for at in prevalences]
    rows = []
    for level, said in evaluation["levels"].items():
        row = [level, f"{said['margin']:.2f}", percent(said["recall"]), percent(said["honest_days"], 3)]
        row.append(f"{said['honest_numbers_reached']:,}")
        row += [percent(at["precision"], 0) for at in said["at_prevalence"]]
        row += [shown(at["alerts"], 0) for at in said["at_prevalence"]]
        rows.append(row)
    return _table(head, rows)


def _figures(evaluation: Mapping[str, Any]) -> Iterator[str]:
    curve = [(recall, precise) for recall, precise in evaluation["curves"]["precision_recall"]]
    yield _figure(
        plots.lines(
            "Precision against recall",
            plots.share_axis("recall of fraud numbers"),
            plots.share_axis("precision"),
            [Line("", curve)],
        ),
        f"Precision and recall at the table's own share of fraud, {_share_of_numbers(evaluation):.1%} of its numbers.",
    )
    bins = [(one["shown"], one["seen"]) for one in evaluation["calibration"]["bins"]]
    yield _figure(
        plots.lines(
            "Calibration",
            plots.share_axis("display value"),
            plots.share_axis("share that was fraud"),
            [Line("as it should be", [(0, 0), (1, 1)], plots.FAINT, dashed=True), Line("ten bins", bins, dots=True)],
        ),
        f"Calibration of number-days in bins of equal width; mean error {evaluation['calibration']['mean_error']:.3f}.",
    )
    delay = evaluation["delay"]
    if delay and delay.get("recall_by_victims"):
        points = [(float(k), share) for k, share in delay["recall_by_victims"]]
        yield _figure(
            plots.lines(
                "Recall against victims",
                plots.log_axis("victims so far", [k for k, _ in points]),
                plots.share_axis("fraud numbers flagged by then"),
                [Line("", points, plots.ORANGE, steps=True)],
            ),
            f"Recall against victims (estimated): half of the fraud numbers are flagged after "
            f"{_said(delay['victims']['median'])} of them.",
        )
    if delay and delay.get("distribution"):
        points = [(seconds, share) for seconds, share in delay["distribution"]]
        yield _figure(
            plots.lines(
                "Delay",
                plots.log_axis("seconds since the fraud began", [s for s, _ in points]),
                plots.share_axis("fraud numbers flagged by then"),
                [Line("", points, plots.GREEN, steps=True)],
            ),
            f"Delay until the flag: median {_said(delay['seconds']['median'])} s; what is never flagged stays below.",
        )
    if evaluation.get("importance"):
        named = [(one["feature"], one["drop"]) for one in evaluation["importance"][:TOP_FEATURES]]
        yield _figure(
            plots.bars("Feature importance", named, plots.BLUE),
            "Fall of the area under the curve when a feature's values are dealt out anew.",
        )


def _share_of_numbers(evaluation: Mapping[str, Any]) -> float:
    table = evaluation["table"]
    return float(table["fraud_numbers"] / max(1, table["numbers"]))


def _types(types: Sequence[Mapping[str, Any]]) -> str:
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
    return _table(head, rows)


def _groups(groups: Sequence[Mapping[str, Any]]) -> str:
    head = [
        "group",
        "numbers",
        "recall at 0.1 %",
        "at 0.01 %",
        "median delay, s",
        "median victims",
        "by the 20th victim",
    ]
    rows = []
    for group in groups:
        delay = group["delay"] or {}
        early = (delay.get("caught_within_victims") or {}).get("20")
        rows.append(
            [
                group["group"],
                f"{group['numbers']:,}",
                *(percent(one["recall"]) for one in group["read_off"]),
                _median(delay, "seconds"),
                _median(delay, "victims"),
                "-" if early is None else f"{early:.0%}",
            ]
        )
    words = (
        "Margins are those that 0.1 % and 0.01 % of this table's own honest number-days reach; delays run to the flag "
        "of the bundle."
    )
    return _table(head, rows) + f"<p>{words}</p>"


def _hard(profiles: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            one["profile"],
            f"{one['number_days']:,}",
            *(f"{one['reached'][level]:,}" for level in LEVELS),
        ]
        for one in sorted(profiles, key=lambda one: (-one["reached"]["watch"], -one["reached"]["flag"], one["profile"]))
    ]
    return _table(["profile", "number-days", "reached watch", "flag", "block"], rows)


def _contrasts(evaluation: Mapping[str, Any]) -> str:
    head = ["scored by", "area", "average precision", "recall at 0.1 %", "recall at 0.01 %"]
    rows = [
        [
            one["name"],
            f"{one['area']:.4f}",
            f"{one['average_precision']:.4f}",
            percent(one["recall"]["watch"]),
            percent(one["recall"]["flag"]),
        ]
        for one in (evaluation["contrast"], *evaluation["baselines"], *evaluation["ablations"])
    ]
    notes = "".join(f"<li>{escape(note)}</li>" for note in evaluation["contrast_notes"])
    return _table(head, rows) + f"<ul>{notes}</ul>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(drawn: str, words: str) -> str:
    return f"<figure>{drawn}<figcaption>{escape(words)}</figcaption></figure>"


def _median(delay: Mapping[str, Any], what: str) -> str:
    """A dash where there is no number whose delay is known."""
    return _said(delay[what]["median"]) if delay.get("numbers") and what in delay else "-"


def _said(value: float | None) -> str:
    return "never" if value is None else f"{value:,.0f}"
