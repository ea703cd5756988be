"""The smaller job, in plain Python: what every peer does with a record, and what must come of it.

Per caller, panes of one minute of event time: attempts, answered, short (under 6 s), talk, distinct callees. Windows of
5 and 60 of them give eight features, and those a logistic score; above the threshold the record gives a decision. 256
callees are remembered at most, and a record older than its caller's newest pane counts in that one.

Nothing but the standard library is imported: Quix Streams runs this file in its own virtual environment, and
`java/Job.java` says the same for the engines on the JVM. Less than our own detector does: no validation, no recipients,
no day or week, 8 of 60 features, 8 multiplications instead of trees, and no policy.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log1p
from pathlib import Path
from typing import Any, Final

MINUTE_MS: Final = 60_000
SHORT_WINDOW: Final = 5
LONG_WINDOW: Final = 60
SHORT_TALK_S: Final = 6
MOST_CALLEES: Final = 256
"""Of all panes. A bank that sends codes to a city has thousands an hour: engines would be measured by that one list."""

Pane = list[Any]
"""Minute, attempts, answered, short, talk in s, distinct callees: a list, for it is kept as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What an engine is told, in a file."""

    bootstrap: str
    topic: str
    group: str
    decisions: str
    threads: int
    commit_ms: int
    coefficients: tuple[float, ...]
    intercept: float
    threshold: float

    def write(self, path: Path) -> None:
        """The file says so."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Task":
        """What the file says."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def count(panes: list[Pane] | None, record: Mapping[str, Any]) -> list[Pane]:
    """The caller's panes, oldest first, with the record counted in them; `panes` may be changed."""
    minute = (record["end"] if "end" in record else record["time"]) // MINUTE_MS
    panes = panes or []
    if not panes or panes[-1][0] < minute:
        panes = [pane for pane in panes if pane[0] > minute - LONG_WINDOW]
        panes.append([minute, 0, 0, 0, 0, []])
    pane = panes[-1]
    pane[1] += 1
    if record["outcome"] == "answered":
        talk_s = record["duration"]
        pane[2] += 1
        pane[4] += talk_s
        if talk_s < SHORT_TALK_S:
            pane[3] += 1
    if record["to"] not in pane[5] and sum(len(pane[5]) for pane in panes) < MOST_CALLEES:
        pane[5].append(record["to"])
    return panes


def features(panes: list[Pane]) -> tuple[float, ...]:
    """At the newest pane: volume, answered, short, talk, spread of the short window; volume, short, spread in all."""
    attempts = shorts = recent = recent_answered = recent_shorts = recent_talk_s = 0
    callees: set[str] = set()
    recent_callees: set[str] = set()
    oldest = panes[-1][0] - SHORT_WINDOW
    for minute, of_pane, answered, short, talk_s, to in panes:
        attempts += of_pane
        shorts += short
        callees.update(to)
        if minute > oldest:
            recent += of_pane
            recent_answered += answered
            recent_shorts += short
            recent_talk_s += talk_s
            recent_callees.update(to)
    return (
        log1p(recent),
        recent_answered / recent,
        recent_shorts / recent,
        recent_talk_s / (recent_answered or 1) / 60,
        len(recent_callees) / recent,
        log1p(attempts),
        shorts / attempts,
        len(callees) / attempts,
    )


def score(panes: list[Pane], coefficients: Sequence[float], intercept: float) -> float:
    """The margin of the logistic model. Written out: a loop over eight would cost Quix Streams a microsecond."""
    a, b, c, d, e, f, g, h = coefficients
    p, q, r, s, t, u, v, w = features(panes)
    return intercept + a * p + b * q + c * r + d * s + e * t + f * u + g * v + h * w
