"""`detector demo`: plays one seed or several, answers on the admin port meanwhile, and reports."""

import sys
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from detector.admin import AdminServer, Probe
from detector.config import Settings
from detector.demo.play import play
from detector.demo.report import markdown, print_report, to_json
from detector.demo.score import Score, score
from detector.demo.screen import open_screen
from detector.learning.simulate import DEMO_SEED, Scenario, simulate
from detector.metrics import Metrics


def run_demo(settings: Settings, *, numbers: int, seed: int | None, repeat: int, json_file: Path | None) -> int:
    """Everything that was decided is shown on standard output; 0."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120)
    metrics = Metrics()
    first = DEMO_SEED if seed is None else seed
    scores: list[Score] = []
    with ExitStack() as stack:
        probe = Probe(metrics.registry, "demo", lambda: metrics.value("last_step_timestamp"), dict)
        admin = stack.enter_context(AdminServer(settings.admin.host, settings.admin.port, probe))
        results = stack.enter_context(json_file.open("wb")) if json_file else None
        for this in range(first, first + repeat):
            scenario = Scenario(numbers=numbers, seed=this)
            with open_screen(console) as screen:
                screen.say(
                    f"seed {this}: {numbers:,} numbers, {scenario.days} days, the last with fraud; {admin.url}/metrics"
                    + ("; a first run compiles its kernels now" if this == first else "")
                )
                traffic = simulate(scenario)
                played = play(settings, traffic, metrics, screen)
            scores.append(score(traffic, played.decisions))
            if results:
                results.write(to_json(scores[-1], played, this))
                results.flush()
            if repeat == 1:
                print_report(console, scores[-1], played, numbers)
    if repeat > 1:
        sys.stdout.write(markdown(scores))
    return 0
