"""`compile`: kernels that stand compiled in the cache before a record waits for them."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, add_config, out, settings_of, source_named

if TYPE_CHECKING:
    from detector.config import Settings

NUMBERS: Final = 2_000
DAYS: Final = 2
"""Enough that every form of a number is reached and something is decided with its reasons: what no row has touched is
compiled when a row first does."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "compile",
        _compile,
        "compile all that a role would compile at its start, and keep it",
        "Puts a little simulated traffic through both roles on a broker in memory. For images, and after an upgrade:\n"
        "a role then starts in two seconds instead of forty. Kernels are kept in NUMBA_CACHE_DIR, for this machine's\n"
        "processor unless NUMBA_CPU_NAME and NUMBA_CPU_FEATURES name another.",
    )
    add_config(parser)
    parser.add_argument(
        "--source", default="plain", metavar="NAME", help="the source that reads simulated records (default: plain)"
    )


def _compile(arguments: argparse.Namespace) -> int:
    from detector.learning.encode import encode
    from detector.learning.simulate import Scenario, simulate
    from detector.metrics import Metrics
    from detector.replay import Replay
    from detector.service.warming import warm_up

    source = source_named(settings_of(arguments), arguments.source)
    warm_up(settings_of(arguments))  # what no record reaches, as a look at a number
    traffic = simulate(Scenario(numbers=NUMBERS, days=DAYS))
    metrics = Metrics()
    with Replay(_for_all_paths(settings_of(arguments)), metrics) as replay:
        records = encode(traffic.records)
        # A record alone gives batches of one row, and numba takes the columns of these for contiguous: it compiles what
        # counts them anew.
        for batch in (records[:1], records[1:]):
            replay.publish(source.topic, batch)
            replay.settle()
        decided = len(replay.decisions())
    folder = Path(os.environ["NUMBA_CACHE_DIR"])  # set by detector.jit to where it compiles
    kept = [path.stat().st_size for path in folder.rglob("*.nbc")]
    out(f"{metrics.value('records'):,.0f} records, {metrics.value('scored'):,.0f} rows scored, {decided:,} decisions")
    out(f"{len(kept)} compiled kernels, {sum(kept) / 1e6:.1f} MB, in {folder}")
    return 0


def _for_all_paths(settings: "Settings") -> "Settings":
    """The settings under which the most is done: records of any age, everything decided, a challenger too."""
    from msgspec.structs import replace

    return replace(
        settings,
        sources=tuple(replace(source, max_future_s=None, silent_after_s=None) for source in settings.sources),
        model=replace(settings.model, accept_simulated=True, challenger=settings.model.bundle),
        verdict=replace(settings.verdict, mode="enforce", assume_warm=True),
    )
