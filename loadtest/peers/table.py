"""Table: what was measured, as markdown, and the ratios of the same run."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from loadtest.peers.compare import LIMIT, OURS, Measured
from loadtest.peers.engines import PEERS

TITLES: Final[Mapping[str, tuple[str, str, str]]] = {
    LIMIT: ("bare consumer", "none: reads", ""),
    OURS: ("this detector", "the whole", "exactly once"),
    **{name: (peer.title, "the smaller", peer.guarantee) for name, peer in PEERS.items()},
}
"""Title, job and guarantee of each engine."""

LEAST_SHARE: Final = 0.75
"""Of the records: below it one interval of a second more or less is a large part of what the clock saw."""
WHOLE: Final = (
    "The whole job: any key and several mappings, validation and rejects, both parties of a record, windows of 5 min,\n"
    "1 h, 24 h and 7 d, sixty features, trees, policy with case memory, decisions with reasons; a commit a batch."
)
SMALLER: Final = (
    "The smaller job: records already keyed by caller, callers alone, windows of 5 min and 1 h in panes of a minute,\n"
    "256 distinct callees at most, eight features, a logistic score, 1 % of the records decided; a commit every "
)


@dataclass(frozen=True, slots=True)
class Row:
    """One engine over all turns."""

    engine: str
    records_per_s: float
    least_per_s: float
    most_per_s: float
    times: float
    """How many times as fast our own is: the median of the turns' ratios."""
    cpu_s_per_million: float
    broker_cpu_s_per_million: float
    peak_bytes: int
    decisions: int
    share: float
    """The least of the records that the clock saw in a turn."""
    wrong: Sequence[str]

    @property
    def target(self) -> float | None:
        """How many times as fast our own is to be."""
        return PEERS[self.engine].target if self.engine in PEERS else None

    @property
    def is_met(self) -> bool:
        """Whether it is."""
        return self.target is None or self.times >= self.target


def rows(turns: Sequence[Mapping[str, Measured]]) -> list[Row]:
    """A row an engine, medians of its turns; every turn holds every engine."""
    made = []
    for engine in turns[0]:
        all_of = [turn[engine] for turn in turns]
        rates = [one.records_per_s for one in all_of]
        made.append(
            Row(
                engine,
                median(rates),
                min(rates),
                max(rates),
                median(turn[OURS].records_per_s / turn[engine].records_per_s for turn in turns),
                median(one.cpu_s_per_million for one in all_of),
                median(one.broker_cpu_s_per_million for one in all_of),
                max(one.peak_bytes for one in all_of),
                all_of[0].decisions,
                min(one.share for one in all_of),
                [one.wrong for one in all_of if one.wrong],
            )
        )
    return made


def table(turns: Sequence[Mapping[str, Measured]], record_bytes: float, commit_ms: int) -> str:
    """The turns as markdown, what each job is, and what was not as it should be."""
    made = rows(turns)
    records = turns[0][OURS].records
    lines = [
        f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}; "
        f"{records:,} plain JSON records of {record_bytes:.0f} bytes, {len(turns)} turns; medians, least to most",
        "",
        "| engine | job | guarantee | records/s | ours is | to be | CPU s/M | broker's | peak MB | decisions |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in made:
        title, job, guarantee = TITLES[row.engine]
        cells = [
            title,
            job,
            guarantee,
            f"{row.records_per_s:,.0f} ({row.least_per_s:,.0f} to {row.most_per_s:,.0f})",
            "" if row.engine == OURS else f"{row.times:.2f} x",
            f"{row.target:.0f} x" if row.target else "",
            f"{row.cpu_s_per_million:.1f}",
            f"{row.broker_cpu_s_per_million:.1f}",
            f"{row.peak_bytes / 1e6:,.0f}",
            "" if row.engine == LIMIT else f"{row.decisions:,}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", WHOLE, f"{SMALLER}{commit_ms:,} ms."]
    lines += [f"{PEERS[row.engine].title}: {PEERS[row.engine].how}." for row in made if row.engine in PEERS]
    lines += ["", *verdicts(made)]
    return "\n".join(lines) + "\n"


def verdicts(made: Sequence[Row]) -> list[str]:
    """A sentence for each output that is wrong and each target that is not met; else that all is well."""
    told = [f"WRONG: {TITLES[row.engine][0]}: {words}" for row in made for words in row.wrong]
    told = told or ["Every engine has worked off every record, and its output is complete and without repeats."]
    told += [
        f"COARSE: {TITLES[row.engine][0]}: {1 - row.share:.0%} of the records were in its first commit: "
        "give more --records, or a shorter --commit-ms"
        for row in made
        if row.share < LEAST_SHARE
    ]
    return told + [
        f"Below its target: {row.times:.2f} x {TITLES[row.engine][0]}, wanted {row.target:.0f} x"
        for row in made
        if not row.is_met
    ]
