"""The screen: what the demo shows while it runs, live on a terminal and as plain lines elsewhere."""

from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

LINE_EVERY_HOURS = 6
"""Simulated hours between two plain lines: four a day read like a log, twenty-four like noise."""


@dataclass(slots=True)
class Status:
    """Where a play stands."""

    hour: int = 0
    hours: int = 1
    now_ms: int = 0
    """The simulated clock."""
    records: int = 0
    elapsed_s: float = 0.0
    behind: int = 0
    """Records that are published but not decided upon."""
    numbers: int = 0
    decided: Counter[str] = field(default_factory=Counter)
    """Decisions by action."""
    held_back: Counter[str] = field(default_factory=Counter)
    """What kept blocks from being blocks, by why."""

    @property
    def rate(self) -> float:
        """Records a second, from the first on."""
        return self.records / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def clock(self) -> str:
        """The simulated clock as people write it."""
        return f"{datetime.fromtimestamp(self.now_ms / 1000, UTC):%A %d %B %H:%M}"


class Screen(Protocol):
    """Something to watch a play on."""

    def say(self, text: str) -> None:
        """A line that stays."""
        ...

    def show(self, status: Status) -> None:
        """The newest status; called after every step."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class PlainLines(AbstractContextManager["PlainLines"]):
    """A line for every few simulated hours: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_hour = 0

    def say(self, text: str) -> None:
        """A line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, status: Status) -> None:
        """A line when its hour has come; a new play begins again at hour 0."""
        if status.hour < self._next_hour - LINE_EVERY_HOURS:
            self._next_hour = 0
        if status.hour >= self._next_hour and not status.behind:
            self._next_hour = status.hour + LINE_EVERY_HOURS
            self.say(
                f"{status.clock:<28} {status.records:>10,} records {status.rate:>9,.0f}/s "
                f"{status.numbers:>7,} numbers   decisions: {counted(status.decided)}"
            )

    def __exit__(self, *error: object) -> None:
        """Nothing to clear."""


class LivePanel(AbstractContextManager["LivePanel"]):
    """A progress bar and a panel, drawn anew four times a second."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn(), TimeElapsedColumn()
        )
        self._bar = self._progress.add_task("starting", total=None)
        self._status = Status()
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._draw, transient=True)

    def say(self, text: str) -> None:
        """A line above the panel."""
        self._live.console.print(text, highlight=False, markup=False)

    def show(self, status: Status) -> None:
        """What the next drawing shows."""
        self._status = status
        self._progress.update(
            self._bar, description=status.clock, completed=status.hour + (not status.behind), total=status.hours
        )

    def _draw(self) -> RenderableType:
        status = self._status
        table = Table.grid(padding=(0, 3))
        for name, value in (
            ("records", f"{status.records:,}"),
            ("rate", f"{status.rate:,.0f} records/s"),
            ("behind", f"{status.behind:,} records"),
            ("numbers held", f"{status.numbers:,}"),
            ("decisions", counted(status.decided)),
            ("held back by", counted(status.held_back)),
        ):
            table.add_row(f"[dim]{name}", value)
        return Group(Panel(table, title="telecom fraud detector", title_align="left"), self._progress)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()


def open_screen(console: Console) -> Screen:
    """Live where somebody watches, plain lines else."""
    return LivePanel(console) if console.is_terminal else PlainLines(console)


def counted(counts: Counter[str]) -> str:
    """`12 block, 3 flag`, the most frequent first; `none` when there is nothing."""
    pairs: Iterable[tuple[str, int]] = counts.most_common()
    return ", ".join(f"{count:,} {name}" for name, count in pairs) or "none"
