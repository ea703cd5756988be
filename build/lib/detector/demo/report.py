"""The report: a score as tables for the terminal, as markdown for the README and as JSON."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Final

import msgspec
import orjson
from rich.console import Console
from rich.table import Table

from detector.demo.play import Played
from detector.demo.score import CampaignScore, Score
from detector.verdict.decisions import Decision

MOST_TOUCHED: Final = 40
"""Lines of honest numbers on a terminal; --json has them all."""


def print_report(console: Console, score: Score, played: Played, honest: int) -> None:
    """Campaigns, honest numbers touched, one decision in full, totals."""
    console.print(_campaigns(score))
    if score.touched:
        console.print(_touched(score))
    example = example_of(played.decisions)
    if example is not None:
        console.print("One decision in full, as enforcement reads it:", highlight=False)
        console.print_json(orjson.dumps(orjson.loads(example.to_json())).decode())
    console.print(totals(score, played, honest), highlight=False)


def totals(score: Score, played: Played, honest: int) -> str:
    """The last lines of a demo."""
    numbers = sum(len(campaign.catches) for campaign in score.campaigns)
    missed = sum(campaign.missed for campaign in score.campaigns)
    blocked = sum(touched.action == "block" for touched in score.touched)
    actions = Counter(decision.action for decision in played.decisions)
    decided = ", ".join(f"{count:,} {action}" for action, count in actions.most_common()) or "none"
    warming = len(score.touched_in_warm_up)
    return (
        f"fraudulent numbers caught: {numbers - missed:,} of {numbers:,}; "
        f"honest numbers touched: {len(score.touched):,} of {honest:,}, {blocked:,} of them blocked\n"
        f"in the warm-up week, while windows fill and nothing may block: {warming:,} honest numbers touched\n"
        f"decisions: {decided}; records: {played.records:,}, {played.rejected:,} of them rejected\n"
        f"throughput: {played.rate:,.0f} records/s over {played.elapsed_s:.1f} s, from JSON to committed decisions"
    )


def example_of(decisions: Sequence[Decision]) -> Decision | None:
    """The block with the most reasons, else any decision."""
    blocks = [decision for decision in decisions if decision.action == "block"]
    return max(blocks or decisions, key=lambda decision: len(decision.reasons), default=None)


def to_json(score: Score, played: Played, seed: int) -> bytes:
    """Everything of one play for a program to read."""
    tree = {
        "seed": seed,
        "records": played.records,
        "rejected": played.rejected,
        "elapsed_s": round(played.elapsed_s, 3),
        "records_per_s": round(played.rate),
        **msgspec.to_builtins(score),
    }
    return orjson.dumps(tree, option=orjson.OPT_APPEND_NEWLINE)


def markdown(scores: Sequence[Score]) -> str:
    """The campaigns of several plays as one table, and the honest numbers touched."""
    together: dict[tuple[str, str], list[CampaignScore]] = defaultdict(list)
    for score in scores:
        for campaign in score.campaigns:
            together[campaign.kind, campaign.stealth].append(campaign)
    lines = [
        "| campaign | variant | numbers | blocked | flagged | missed | median delay | median victims | caught any |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (kind, stealth), parts in together.items():
        whole = CampaignScore(kind, stealth, tuple(catch for part in parts for catch in part.catches))
        caught = sum(part.missed < len(part.catches) for part in parts)
        lines.append(f"| {' | '.join(_cells(whole))} | {caught} of {len(parts)} |")
    touched = [len(score.touched) for score in scores]
    blocked = [sum(one.action == "block" for one in score.touched) for score in scores]
    lines += [
        "",
        f"Honest numbers touched a play: median {median(touched):g}, most {max(touched)}; "
        f"of these blocked: median {median(blocked):g}, most {max(blocked)}.",
    ]
    return "\n".join(lines) + "\n"


def _campaigns(score: Score) -> Table:
    table = Table(title="Campaigns (delay and victims until the first decision: medians)", title_justify="left")
    table.add_column("campaign", no_wrap=True)
    table.add_column("variant", no_wrap=True)
    for name in ("numbers", "blocked", "flagged", "missed", "delay", "victims"):
        table.add_column(name, justify="right")
    for campaign in score.campaigns:
        table.add_row(*_cells(campaign))
    return table


def _cells(campaign: CampaignScore) -> tuple[str, ...]:
    counts = (len(campaign.catches), campaign.blocked, campaign.flagged, campaign.missed)
    victims = campaign.median_victims
    return (
        campaign.kind,
        campaign.stealth,
        *(f"{count:,}" for count in counts),
        duration(campaign.median_delay_s),
        "-" if victims is None else f"{victims:g}",
    )


def _touched(score: Score) -> Table:
    table = Table(title="Honest numbers touched", title_justify="left")
    for name in ("number", "profile", "action", "rule", "when"):
        table.add_column(name)
    for one in score.touched[:MOST_TOUCHED]:
        when = f"{datetime.fromtimestamp(one.at_ms / 1000, UTC):%a %H:%M}"
        table.add_row(one.number, one.profile, one.action, one.rule, when)
    if len(score.touched) > MOST_TOUCHED:
        table.add_row(f"and {len(score.touched) - MOST_TOUCHED:,} more", "", "", "", "")
    return table


def duration(seconds: float | None) -> str:
    """`0 s`, `95 s`, `12 min`, `3.4 h`; `-` where there is none."""
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
