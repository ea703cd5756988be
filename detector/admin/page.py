"""The status page: how this process does, at a glance, for whoever has no Grafana at hand.

    metrics, WorkerSeen -> one page of HTML, without scripts, that asks for itself again every five seconds

Every text that is not ours is escaped; a policy forbids the browser everything but the one style sheet. A viewer sees
numbers without their last digits.
"""

import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape
from types import MappingProxyType
from typing import Final

from detector.admin.api import Api
from detector.admin.http import Refused, Reply, Request
from detector.admin.probes import Probe
from detector.admin.rates import MANY, Figure, Rates, Stillness
from detector.admin.seen import WorkerSeen
from detector.admin.tokens import Caller, Role
from detector.admin.told import PartitionTold, WorkerTold, worker_told
from detector.verdict.decisions import Decision

AGAIN_S: Final = 5
RECENT: Final = 15
"""Decisions shown."""
REASONS: Final = 2
"""Of a decision, the gravest: a line each. All of them stand in the decision."""
MASKED: Final = 4
"""Digits at the end that a viewer does not see: which subscriber it is, while which range may matter."""

STILL_S: Final = 30.0
"""A partition that has not moved for so long while messages wait stands still: a step of work is done in seconds."""

BEHIND, USED_UP, WELL, RESTORING = "behind its commit", "budget used up", "well", "restoring"
STILL, LATE = "stands still", "falls behind"
HEALTH: Final = dict.fromkeys((BEHIND, STILL, LATE, USED_UP, RESTORING), "bad") | {WELL: "good"}
"""How a partition does, and how that looks."""

STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --dim: #666; --bad: #c62828; --good: #2e7d32; }
@media (prefers-color-scheme: dark) { :root { --dim: #a0a0a0; --bad: #ef5350; --good: #66bb6a; } }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.25rem; margin: 0; } h2 { font-size: 1rem; margin: 1.75rem 0 .4rem; }
p { margin: .2rem 0; color: var(--dim); }
dl { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0 0; }
dl div { border: 1px solid var(--line); border-radius: 6px; padding: .45rem .8rem; min-width: 7.5rem; }
dt { color: var(--dim); font-size: .8rem; } dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top;
  font-variant-numeric: tabular-nums; }
td { white-space: nowrap; } td:last-child { white-space: normal; }
th { color: var(--dim); font-weight: 500; } .l { text-align: left; } small { color: var(--dim); display: block; }
.bad { color: var(--bad); font-weight: 600; } .good { color: var(--good); }
"""
_HASH: Final = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

Lines = tuple[str, ...]
"""Of one cell: the first, and smaller ones below it."""


class Page:
    """The page of one process."""

    def __init__(self, api: Api, probe: Probe) -> None:
        self._api, self._probe, self._rates = api, probe, Rates(probe.registry)
        self._stillness = Stillness()

    def show(self, request: Request, caller: Caller) -> Reply:
        """How it does now. Without an answer from the poll loop it says so, and shows the rest."""
        seen, silent = None, ""
        if self._api.holds_numbers:
            try:
                seen = self._api.seen()
            except Refused as refused:
                silent = refused.why
        name = self._probe.name
        told = None if seen is None else worker_told(seen, self._api.now_s())
        parts = [_head(name, dict(self._probe.missing()), silent, seen), _figures(self._rates, told)]
        if seen is not None and told is not None:
            offsets = {one.partition: one.offset for one in told.partitions}
            still_s = self._stillness.look(time.monotonic(), offsets)
            parts += [_partitions(told, self._rates.waiting(), still_s), _recent(seen.recent, caller)]
        html = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="refresh" content="{AGAIN_S}"><meta name="viewport" content="width=device-width">'
            f"<title>{escape(name)}</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>"
        )
        return Reply(200, html.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": POLICY})


def _head(name: str, missing: dict[str, str], silent: str, seen: WorkerSeen | None) -> str:
    wrong = [*(f"{what}: {why}" for what, why in missing.items()), *([silent] if silent else [])]
    state = "".join(f'<p class="bad">{escape(text)}</p>' for text in wrong) or '<p class="good">at work</p>'
    told = ""
    if seen is not None:
        if seen.by_order:
            order = f"mode {seen.mode} by order {seen.mode_change}, until `detector mode configured`"
            state += f'<p class="bad">{escape(order)}</p>'
        told = f"<p>mode {escape(seen.mode)}; model {escape(seen.model)}; policy {escape(seen.policy)}</p>"
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return f"<h1>{escape(name)}</h1>{state}{told}<p>{at}, again every {AGAIN_S} s</p>"


def _figures(rates: Rates, told: WorkerTold | None) -> str:
    figures = list(rates.figures(time.monotonic()))
    if told is not None:
        counts = Counter({"block": 0, "flag": 0})
        for one in told.partitions:
            counts.update(one.in_force)
        figures += [Figure(f"{action}s in force", f"{count:,}") for action, count in counts.items()]
        figures.append(Figure("numbers", f"{sum(one.numbers for one in told.partitions):,}"))
    return "<dl>" + "".join(map(_figure, figures)) + "</dl>"


def _figure(one: Figure) -> str:
    return f'<div><dt>{escape(one.label)}</dt><dd class="{"bad" * one.is_bad}">{escape(one.text)}</dd></div>'


def _partitions(told: WorkerTold, waiting: Mapping[int, int], still_s: Mapping[int, float]) -> str:
    names = (
        "partition",
        "health",
        "offset",
        "waiting",
        "newest event",
        "numbers",
        "blocks",
        "flags",
        "budget left",
        "unsaved rows",
    )
    rows: list[tuple[str, ...]] = [
        (
            str(one.partition),
            health(one, waiting.get(one.partition, 0), still_s[one.partition]),
            f"{one.offset:,}",
            f"{waiting[one.partition]:,}" if one.partition in waiting else "",
            _moment(one.newest_event_ms),
            f"{one.numbers:,}",
            f"{one.in_force.get('block', 0):,}",
            f"{one.in_force.get('flag', 0):,}",
            f"{one.blocks_budget_left:,}",
            f"{one.unsaved_rows:,}",
        )
        for one in told.partitions
    ]
    rows += [(str(q), RESTORING, *[""] * (len(names) - 2)) for q in told.restoring]
    return "<h2>Partitions held here</h2>" + _table(names, rows, left={1}, marked={1: HEALTH})


def health(one: PartitionTold, waiting: int, still_s: float) -> str:
    """In a word or three, the gravest: `waiting` messages, and an offset that has not moved for `still_s`."""
    if one.offset > one.committed:
        return BEHIND
    if waiting and still_s >= STILL_S:
        return STILL
    if waiting > MANY:
        return LATE
    return USED_UP if one.blocks_budget_left == 0 else WELL


def _recent(recent: Sequence[Decision], caller: Caller) -> str:
    names = ("issued", "action", "number", "service", "scope", "rule", "score", "expires", "why")
    rows = [
        (
            _moment(one.issued_at),
            one.action,
            one.number if caller.role >= Role.ANALYST else masked(one.number),
            one.service,
            one.scope,
            one.rule,
            f"{one.score.display:.2f}" if one.score else "",
            _moment(one.expires_at),
            _why(one),
        )
        for one in reversed(recent[-RECENT:])
    ]
    if not rows:
        return "<h2>Last decisions here</h2><p>none since this process began</p>"
    return "<h2>Last decisions here</h2>" + _table(names, rows, left={1, 2, 3, 4, 5, 8})


def _why(decision: Decision) -> Lines:
    """An operator's words may name the number: only what rules say is shown."""
    if decision.basis == "operator":
        return ("an operator's order",)
    held = f" (held back: {', '.join(decision.held_back)})" if decision.held_back else ""
    return decision.reason + held, *(reason.sentence for reason in decision.reasons[:REASONS])


def masked(number: str) -> str:
    """A number without its last digits; its trunk group, if it has one, stays."""
    name, at, trunk = number.partition("@")
    kept = name[:-MASKED] if len(name) > 2 * MASKED else name[: len(name) // 2]
    return kept + "·" * (len(name) - len(kept)) + at + trunk


def _moment(at_ms: int) -> str:
    return time.strftime("%m-%d %H:%M:%S", time.gmtime(at_ms / 1000)) if at_ms else ""


def _table(
    names: Sequence[str],
    rows: Iterable[Sequence[str | Lines]],
    left: set[int],
    marked: Mapping[int, Mapping[str, str]] = MappingProxyType({}),
) -> str:
    """`left`: columns of words; `marked`: of a column the classes of some of its texts."""

    def cell(tag: str, i: int, content: str | Lines) -> str:
        text, *more = (content,) if isinstance(content, str) else content
        kind = " ".join(filter(None, ("l" * (i in left), marked.get(i, {}).get(text))))
        return f'<{tag} class="{kind}">{escape(text)}{"".join(f"<small>{escape(one)}</small>" for one in more)}</{tag}>'

    def cells(tag: str, contents: Sequence[str | Lines]) -> str:
        return "".join(cell(tag, i, content) for i, content in enumerate(contents))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', names)}</tr></thead><tbody>{body}</tbody></table>"
