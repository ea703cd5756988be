"""Fuzz: broken messages of every source, command and internal message; nothing but rows or rejections may come out.

    fixtures -> Mutator -> batches -> SourceReader, read_command, Detector -> laws
       ^                                                |
       +------- messages whose outcome is new ----------+

What a message came to (its rejection, or what its rows say) is its outcome. A message with an
outcome that was never seen joins those that are mutated further: so chance climbs where it would
not leap. Equal seeds give equal runs, and a broken law is shown with the message that breaks it.
"""

import argparse
import gc
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from detector.errors import Fatal
from loadtest.command import conclude
from loadtest.mutations import Mutator
from loadtest.subjects import Outcome, Subject, subjects
from loadtest.vitals import resident_bytes

BATCH: Final = 500
"""Messages read at once: enough that neighbours could disturb each other."""
CORPUS_MOST: Final = 2_000
CORPUS_BYTES: Final = 4_096
"""Messages of one subject that are mutated further, at most, and how long they may be."""
GROWTH_MOST: Final = 256 << 20
"""Bytes by which memory may grow. The memos of a source hold 2^18 short values each and then start afresh;
what a run leaves in those of all subjects is a fraction of it, and does not grow with the messages' size."""


@dataclass(slots=True)
class Tally:
    """What the messages of a subject came to."""

    inputs: int = 0
    rows: int = 0
    skipped: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    outcomes: set[Outcome] = field(default_factory=set)

    def figures(self) -> dict[str, object]:
        """All of it for a file; of outcomes, how many there were."""
        # asdict() of a Counter counts its items.
        return {
            "inputs": self.inputs,
            "rows": self.rows,
            "skipped": self.skipped,
            "rejected": dict(self.rejected),
            "outcomes": len(self.outcomes),
        }


@dataclass(slots=True)
class Report:
    """What a run saw."""

    seed: int
    tallies: dict[str, Tally]
    seconds: float
    before_bytes: int
    after_bytes: int

    @property
    def growth_bytes(self) -> int:
        """How much more memory was held at the end."""
        return self.after_bytes - self.before_bytes

    def unmet(self) -> list[str]:
        """What is beyond its bound."""
        if self.growth_bytes <= GROWTH_MOST:
            return []
        return [f"memory grew by {self.growth_bytes >> 20} MB: wanted at most {GROWTH_MOST >> 20} MB"]

    def figures(self) -> dict[str, object]:
        """All of it for a file."""
        tallies = {name: tally.figures() for name, tally in self.tallies.items()}
        return asdict(replace(self, tallies={})) | {"tallies": tallies, "unmet": self.unmet()}

    def table(self) -> str:
        """What was tried and what came of it, as markdown."""
        lines = ["| subject | inputs | rows | skipped | rejected | outcomes |", "| --- | --- | --- | --- | --- | --- |"]
        total: Counter[str] = Counter()
        for name, tally in self.tallies.items():
            total += tally.rejected
            cells = (tally.inputs, tally.rows, tally.skipped, tally.rejected.total(), len(tally.outcomes))
            lines.append(f"| {name} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")
        inputs = sum(tally.inputs for tally in self.tallies.values())
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in total.most_common())
        return "\n".join(
            [
                *lines,
                "",
                f"rejected: {reasons}",
                f"{inputs:,} inputs, seed {self.seed}, {self.seconds:.0f} s: nothing but rows and rejections; "
                f"resident memory {self.before_bytes >> 20} MB before, {self.after_bytes >> 20} MB after",
                *self.unmet(),
                "",
            ]
        )


def run(inputs: int, seed: int) -> Report:
    """`inputs` messages are tried, the subjects taking turns; `Fatal` shows the first that breaks a law."""
    mutator = Mutator(seed)
    trying = subjects()
    tallies = {subject.name: Tally() for subject in trying}
    for subject in trying:  # everything is compiled and loaded before memory is looked at
        subject.take(subject.corpus[:BATCH])
    gc.collect()
    before, began, done, turn = resident_bytes(), time.perf_counter(), 0, 0
    while done < inputs:
        subject = trying[turn % len(trying)]
        turn += 1
        values = [subject.mutated(mutator) for _ in range(min(BATCH, inputs - done))]
        _try(subject, values, tallies[subject.name], seed)
        done += len(values)
    gc.collect()
    return Report(seed, tallies, time.perf_counter() - began, before, resident_bytes())


def _try(subject: Subject, values: Sequence[bytes], tally: Tally, seed: int) -> None:
    try:
        taken = subject.take(values)
    except Exception as error:
        raise Fatal(f"{subject.name}, seed {seed}: {_guilty(subject, values)} raised {error!r}") from error
    if taken.broken:
        raise Fatal(f"{subject.name}, seed {seed}: {_guilty(subject, values)}: {taken.broken[0]}")
    tally.inputs += len(values)
    tally.rows += taken.rows
    tally.skipped += taken.skipped
    tally.rejected += taken.rejected
    for i, outcome in taken.outcomes:
        if outcome not in tally.outcomes:
            tally.outcomes.add(outcome)
            if len(subject.corpus) < CORPUS_MOST and len(values[i]) <= CORPUS_BYTES:
                subject.corpus.append(values[i])


def _guilty(subject: Subject, values: Sequence[bytes]) -> str:
    """The first message that breaks a law alone, or else the batch."""
    for value in values:
        try:
            if subject.take([value]).broken:
                return repr(value[:2_000])
        except Exception:
            return repr(value[:2_000])
    return f"a batch of {len(values)}, none of them alone,"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser("fuzz", help="broken messages of every source; nothing but rows or rejections")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="messages (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other messages (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=_command)


def _command(arguments: argparse.Namespace) -> int:
    """Break messages, and print the table; 1 where memory has grown beyond its bound."""
    report = run(arguments.inputs, arguments.seed)
    return conclude(arguments.json, report.table(), report.figures(), report.unmet())
