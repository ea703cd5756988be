"""Watching: which alerts of a real Prometheus fire and clear, and whether they should.

    configs/alerts.yaml -> hasten -> Prometheus -> /api/v1/alerts -> Watcher -> Episode -> judge -> table

Windows and `for` are divided by a factor, so that what takes an hour is seen within minutes. Limits that are no windows
stay: a heartbeat is lost after 60 s in either case.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from detector.config import ROOT
from detector.errors import Fatal
from loadtest.prometheus import LocalPrometheus, promtool

ALERTS: Final = ROOT / "configs" / "alerts.yaml"
DURATION: Final = re.compile(r"(\[|\boffset |\bfor: )(\d+)([smhdw])\b")
"""A window, an offset or a `for`, and nothing that only looks like one in a rule's name (`ratio5m`)."""
UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
LOOK_S: Final = 0.5
FIRES, MAY, SILENT = "fires", "may fire", "is silent"


def hastened(rules: str, factor: int) -> str:
    """The text of a file of rules with every duration divided by `factor`."""

    def shorter(match: re.Match[str]) -> str:
        before, count, unit = match.groups()
        ms = int(count) * UNIT_MS[unit] // factor
        return f"{before}{ms // 1_000}s" if ms % 1_000 == 0 else f"{before}{ms}ms"

    return DURATION.sub(shorter, rules)


def hasten(factor: int, target: Path) -> Path:
    """The shipped rules stand in `target`, so much quicker; `Fatal` where promtool is not content with them."""
    text = hastened(ALERTS.read_text(encoding="utf-8"), factor)
    target.write_text(text, encoding="utf-8")
    count = sum(len(group["rules"]) for group in yaml.safe_load(text)["groups"])
    if f"{count} rules found" not in (said := promtool("check", "rules", str(target))):
        raise Fatal(f"promtool: wanted {count} rules found (got {said!r})")
    return target


def alert_names() -> list[str]:
    """Every alert of the shipped rules, in their order."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]


@dataclass
class Episode:
    """An alert fired, of one series or several, until none was left. Seconds of the run."""

    alert: str
    fired_s: float
    cleared_s: float | None = None


@dataclass
class Episodes:
    """All of a run."""

    all: list[Episode] = field(default_factory=list)

    def take(self, at_s: float, firing: Iterable[str]) -> list[str]:
        """What Prometheus says at one moment is booked; returns a sentence for each change."""
        now, said = set(firing), []
        for episode in self.all:
            if episode.cleared_s is None and episode.alert not in now:
                episode.cleared_s = at_s
                said.append(f"{episode.alert} has cleared")
        for alert in sorted(now - self.firing()):
            self.all.append(Episode(alert, at_s))
            said.append(f"{alert} fires")
        return said

    def firing(self) -> set[str]:
        """Those that do now, as far as was heard."""
        return {episode.alert for episode in self.all if episode.cleared_s is None}

    def of(self, alert: str) -> list[Episode]:
        """The episodes of one alert, oldest first."""
        return [episode for episode in self.all if episode.alert == alert]


class Watcher:
    """Asks Prometheus again and again while in its `with` block, and tells what changes."""

    def __init__(self, prometheus: LocalPrometheus, clock_s: Callable[[], float], tell: Callable[[str], None]) -> None:
        self.episodes = Episodes()
        self.missed = 0
        """Looks without an answer."""
        self._prometheus, self._clock_s, self._tell = prometheus, clock_s, tell
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def is_firing(self, alert: str) -> bool:
        """Whether it fires now."""
        return alert in self.episodes.firing()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            try:
                alerts = self._prometheus.ask("alerts")["alerts"]
            except (Fatal, OSError):
                self.missed += 1
                continue
            firing = {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}
            for sentence in self.episodes.take(self._clock_s(), firing):
                self._tell(f"    alert: {sentence}")

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


@dataclass
class Wanted:
    """An alert that has to fire after its cause, and to clear after what ends it. Seconds of the run."""

    cause: str
    caused_s: float
    remedy: str = ""
    remedied_s: float | None = None
    """None: it ends by itself, when the cause has left its window."""


@dataclass
class Row:
    """What became of one alert."""

    alert: str
    expected: str
    why: str
    episodes: list[Episode]
    unmet: list[str] = field(default_factory=list)


def judge(
    alerts: Sequence[str], wanted: Mapping[str, Wanted], allowed: Mapping[str, str], episodes: Episodes
) -> list[Row]:
    """A row for each of `alerts`: those `wanted` have fired for their cause and cleared; others may, or are silent."""
    rows = []
    for alert in alerts:
        found = episodes.of(alert)
        if alert in wanted:
            one = wanted[alert]
            why = f"{one.cause} at {one.caused_s:.0f} s"
            why += f"; {one.remedy} at {one.remedied_s:.0f} s" if one.remedied_s is not None else ""
            rows.append(Row(alert, FIRES, why, found, list(_unmet(alert, one, found))))
        elif alert in allowed:
            rows.append(Row(alert, MAY, allowed[alert], found))
        else:
            unmet = [f"{alert} fired at {one.fired_s:.0f} s, and should not have" for one in found]
            rows.append(Row(alert, SILENT, "", found, unmet))
    return rows


def _unmet(alert: str, wanted: Wanted, found: Sequence[Episode]) -> Iterable[str]:
    if not found:
        yield f"{alert} did not fire ({wanted.cause} at {wanted.caused_s:.0f} s)"
    for episode in found:
        if episode.fired_s < wanted.caused_s:
            yield f"{alert} fired at {episode.fired_s:.0f} s, before its cause at {wanted.caused_s:.0f} s"
        if episode.cleared_s is None:
            yield f"{alert} has not cleared"
        elif wanted.remedied_s is not None and episode.cleared_s < wanted.remedied_s:
            yield f"{alert} cleared at {episode.cleared_s:.0f} s, before {wanted.remedy} at {wanted.remedied_s:.0f} s"


def table(rows: Iterable[Row]) -> str:
    """As markdown: a line an alert, in seconds of the run."""
    lines = ["| alert | expected | fired at | cleared at | why |", "| --- | --- | ---: | ---: | --- |"]
    for row in rows:
        fired = ", ".join(f"{one.fired_s:.0f} s" for one in row.episodes)
        cleared = ", ".join("-" if one.cleared_s is None else f"{one.cleared_s:.0f} s" for one in row.episodes)
        lines.append(f"| {row.alert} | {row.expected} | {fired} | {cleared} | {row.why} |")
    return "\n".join(lines) + "\n"
