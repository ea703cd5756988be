"""`audit-sample`: number-days that nothing was decided against, drawn for analysts to look at."""

import argparse
import csv
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, positive, settings_of
from detector.commands.decisions import HISTORY, decisions_of
from detector.commands.labels import labels_of
from detector.errors import ConfigError
from detector.units import DAY_MS, MINUTE_MS

if TYPE_CHECKING:
    from detector.broker import Broker
    from detector.config import Settings
    from detector.learning.auditing import Days, Drawn, Recall
    from detector.learning.logs import Log
    from detector.verdict.model import Model

COUNT: Final = 200
"""Two analysts' day."""
NEAR: Final = 0.5
COLUMNS: Final = (
    "number",
    "label",
    "type",
    "active_from_ms",
    "active_until_ms",
    "known_at_ms",
    "source",
    "probability",
    "drawn_ms",
    "draw",
    "day",
    "margin",
    "score",
)


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "audit-sample",
        _audit_sample,
        "draw number-days that nothing was decided against, for analysts to say whether they were fraud",
        "What nobody decides against and nobody complains of is never labelled: recall cannot be known, and a model\n"
        "learns only what the last one found. Half of the draw comes from the tenth with the highest margins, the\n"
        "rest from all others; the chance of each stands beside it, and `features` weights by its inverse. Same seed,\n"
        "same draw. Analysts fill in the columns label and type (fraud or honest, every line) and, where they know\n"
        "better, from when until when; the file goes back with `detector labels publish FILE`.\n\n"
        "Draw among the days of a week (--from, --to), and the next time among those of the next: each line says of\n"
        "which draw it is, and what several found of one day is averaged, not added up.\n\n"
        "With --estimate it says, from those labels and all others, how much of the fraud was decided against. With\n"
        "--archive or --from-topic too, what was caught counts only on days on which the number was active, as what\n"
        "was missed does: else it also counts while a block was in force against somebody who no longer tried. Of\n"
        "somebody who is blocked nobody complains: what blocks catch is estimated by the labels of the hold-out where\n"
        "there are any of the days that audits drew from.\n\n"
        "With --hold-out it is, instead, every number-day whose block was held back because the number is in the\n"
        "hold-out (verdict.hold_out_share): with labels, these tell what blocking hides.",
    )
    add_config(parser)
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--archive", type=Path, metavar="DIR", help="draw among the rows that `detector archive` kept")
    given.add_argument("--from-topic", action="store_true", help="draw among those that the topic holds")
    given.add_argument("--hold-out", action="store_true", help="all of the hold-out instead; nothing is drawn")
    parser.add_argument(
        "--estimate",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="of labels, or `topic`: what audits say of recall so far",
    )
    parser.add_argument("--from", dest="start", type=_day, metavar="DAY", help="first day, YYYY-MM-DD (default: all)")
    parser.add_argument("--to", dest="stop", type=_day, metavar="DAY", help="the day behind the last")
    parser.add_argument(
        "--decisions",
        type=Path,
        default=Path(HISTORY),
        metavar="FILE",
        help="what was decided: `history`, its topic (the default), or a file as `decisions tail --json` prints it",
    )
    parser.add_argument("--count", type=positive, default=COUNT, metavar="N", help=f"number-days (default: {COUNT})")
    parser.add_argument(
        "--near", type=_part, default=NEAR, metavar="PART", help=f"of them from the highest margins (default: {NEAR})"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, another draw (default: 1)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file for analysts, .csv (required for a draw)")


def _part(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"wanted 0 to 1 (got {text})")
    return value


def _day(text: str) -> int:
    """Since 1970."""
    try:
        return date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"wanted YYYY-MM-DD (got {text!r})") from error


def _audit_sample(arguments: argparse.Namespace) -> int:
    from detector.learning.auditing import acted, decided_against, draw, draw_named, estimate, held_out, number_days
    from detector.verdict.model import Model

    settings = settings_of(arguments)
    days = _days(arguments)
    traffic = arguments.archive is not None or arguments.from_topic
    if arguments.estimate is None and (arguments.out is None or arguments.out.suffix != ".csv"):
        raise ConfigError(f"--out: wanted a file that ends in .csv (got {arguments.out or 'none'})")
    minutes = settings.home.utc_offset_minutes
    model = Model.load(settings.path(settings.model.bundle))
    with ExitStack() as stack:
        broker = stack.enter_context(open_kafka(settings)) if arguments.from_topic else None
        decisions = decisions_of(arguments.decisions, settings)
        if arguments.estimate is not None:
            labels, done = labels_of(arguments.estimate, settings), acted(decisions, minutes)
            active = number_days(_logs(arguments, settings, broker), settings, model) if traffic else None
            for line in told(estimate(labels, done, minutes, active)):
                out(line)
            return 0
        name = ""
        if arguments.hold_out:
            drawn = held_out(decisions, settings.verdict.hold_out_share, minutes)
            drawn = [one for one in drawn if days[0] <= one.day < days[1]]
            among = "all of the hold-out"
        else:
            against = decided_against(decisions, minutes)
            population = number_days(_logs(arguments, settings, broker), settings, model, days)
            drawn = draw(population, against, arguments.count, arguments.near, arguments.seed)
            name = draw_named(population, drawn, minutes)
            among = f"drawn among {len(population[0]):,}, those decided against left out"
    _write(arguments.out, drawn, name, model, minutes)
    out(f"{arguments.out}: {len(drawn):,} number-days, {among}")
    return 0


def _days(arguments: argparse.Namespace) -> "Days":
    """Those of the command line, which is one that means something."""
    from detector.learning.auditing import ALWAYS

    if arguments.estimate is None:
        if not (arguments.archive or arguments.from_topic or arguments.hold_out):
            raise ConfigError("--archive, --from-topic, --hold-out or --estimate: wanted one of them (got none)")
    else:
        for flag, got in (("--hold-out", arguments.hold_out), ("--from", arguments.start), ("--to", arguments.stop)):
            if got not in (None, False):
                raise ConfigError(
                    f"--estimate: wanted it without {flag}: what audits say is of the days they drew from"
                )
    first = ALWAYS[0] if arguments.start is None else arguments.start
    stop = ALWAYS[1] if arguments.stop is None else arguments.stop
    if first >= stop:
        raise ConfigError("--to: wanted a day behind that of --from (got none between them)")
    return first, stop


def told(found: "Recall") -> list[str]:
    """What is printed of an estimate."""
    if found.missed.value is None:
        return ["no labels of the source random_audit: nothing can be said of recall"]
    missed, caught, recall = found.missed, found.caught, found.recall
    between = f" ({caught.low:,.0f} to {caught.high:,.0f})" if caught.high != caught.low else ""
    lines = [
        f"{found.audited:,} number-days audited, {found.found:,} of them fraud: "
        f"{missed.value:,.0f} missed ({missed.low:,.0f} to {missed.high:,.0f}), {caught.value:,.0f} caught{between}"
    ]
    if recall.value is not None and recall.low is not None:
        high = 1.0 if recall.high is None else recall.high
        lines.append(f"recall of fraud's number-days: {recall.value:.1%} ({recall.low:.1%} to {high:.1%})")
    if found.untold:
        lines.append(
            f"on {found.untold:,} number-days a block was in force of which no label of the hold-out tells: frauds "
            "that were blocked and nobody told of are missing, so that recall is rather higher"
        )
    return lines


def _logs(arguments: argparse.Namespace, settings: "Settings", broker: "Broker | None") -> "list[Log]":
    from detector.learning.archive import Archive
    from detector.learning.logs import logs_in, logs_on

    if broker is not None:
        return logs_on(broker, settings)
    return logs_in(Archive(arguments.archive), settings.topics.partitions)


def _write(path: Path, drawn: "list[Drawn]", name: str, model: "Model", minutes: int) -> None:
    """A label file but for what analysts have to say; `day`, `margin` and `score` are for them.

    `name`: of the draw; of the hold-out, where chance drew numbers and no days, empty.
    """
    import numpy as np

    from detector.records import number_text

    scores = model.display(np.array([one.margin for one in drawn]))
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", restval="")
            writer.writeheader()
            for one, score in zip(drawn, scores.tolist(), strict=True):
                first_ms = one.day * DAY_MS - minutes * MINUTE_MS
                writer.writerow(
                    {
                        "number": number_text(one.number),
                        "active_from_ms": first_ms,
                        "active_until_ms": first_ms + DAY_MS,
                        "source": one.source,
                        "probability": one.probability,
                        "drawn_ms": first_ms if name else "",
                        "draw": name,
                        "day": str(np.datetime64(one.day, "D")),
                        "margin": round(one.margin, 3),
                        "score": round(score, 4),
                    }
                )
    except OSError as error:
        raise ConfigError(f"{path}: wanted a place to write to (got {error.strerror or error})") from error
