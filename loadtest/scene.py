"""Scene: what a rehearsal plays on: a deployment at work, watched by a Prometheus, with traffic and an operator.

scene -> Scene -> tell, see: the log of what was done, what was seen, and what was not
"""

import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from detector.broker import Broker, TopicPartition
from detector.errors import Fatal
from detector.verdict.decisions import Decision
from loadtest.campaign import MOBILE, Campaign
from loadtest.command import say
from loadtest.configuration import CONFIGS
from loadtest.console import Console
from loadtest.deployment import Deployment, deployment, named
from loadtest.fleet import ROLES, Fleet
from loadtest.population import Population
from loadtest.prometheus import LocalPrometheus
from loadtest.throughput import free_ports
from loadtest.watching import Wanted

WORKERS: Final = 2
NUMBERS: Final = 20_000
BUDGET: Final = 72
"""Blocks an hour: six on each of twelve partitions."""
WARM: Final = 24
"""Numbers that are decided on before anybody watches: where kernels are not compiled yet, detect's loop waits for them
at its first decision, for a minute on a slow machine."""
LIMIT_S: Final = 240.0
"""Of anything that is waited for, on a machine that has other things to do: an alert that looks back for a quarter of
an hour takes three minutes of that to clear where windows are divided by five."""
POLL_S: Final = 0.5


class Heard:
    """Decisions of a topic, each read once."""

    def __init__(self, broker: Broker, topic: str, partitions: int) -> None:
        self._broker = broker
        self._next = {TopicPartition(topic, q): 0 for q in range(partitions)}
        self._all: list[Decision] = []

    def on(self, numbers: Collection[str]) -> list[Decision]:
        """Those on any of the numbers until now, whatever trunk group they came by; of one number in their order."""
        return [one for one in self.all() if plain(one) in numbers]

    def decided(self, numbers: Collection[str]) -> bool:
        """Whether there is one on each of them."""
        return {plain(one) for one in self.on(numbers)} == set(numbers)

    def all(self) -> list[Decision]:
        """Everything until now."""
        for at, start in self._next.items():
            end = self._broker.watermarks(at)[1]
            self._all += [Decision.from_json(one.value() or b"") for one in self._broker.read(at, start, end)]
            self._next[at] = end
        return self._all


def plain(decision: Decision) -> str:
    """Its number, without the trunk group."""
    return decision.number.partition("@")[0]


@dataclass(kw_only=True)
class Scene:
    """What a rehearsal plays on, and what it has come to."""

    made: Deployment
    fleet: Fleet
    prometheus: LocalPrometheus
    campaign: Campaign
    console: Console
    policy: Path
    screenshot: Path | None
    began: float
    decisions: Heard
    shadow: Heard
    lines: list[str] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)
    wanted: dict[str, Wanted] = field(default_factory=dict)

    def clock_s(self) -> float:
        """Seconds of the run."""
        return time.monotonic() - self.began

    def tell(self, text: str) -> None:
        """A line of the log."""
        line = f"{self.clock_s():7.1f} s  {text}"
        self.lines.append(line)
        say(line)

    def see(self, what: str, is_so: Callable[[], object]) -> bool:
        """Wait until it is so and tell it; where it does not come, note it and go on."""
        until = time.monotonic() + LIMIT_S
        while not is_so():
            if time.monotonic() > until:
                self.unmet.append(f"not within {LIMIT_S:.0f} s: {what}")
                self.tell(f"    NOT SEEN: {what}")
                return False
            time.sleep(POLL_S)
        self.tell(f"    seen: {what}")
        return True

    def cause(self, alert: str, cause: str) -> None:
        """From now on the alert has a reason to fire."""
        self.wanted[alert] = Wanted(cause, self.clock_s())

    def remedy(self, alert: str, remedy: str) -> None:
        """From now on it has none."""
        self.wanted[alert].remedy, self.wanted[alert].remedied_s = remedy, self.clock_s()

    def detect_says(self, label: str) -> set[str]:
        """What detect workers say of the policy in force: its `version`, or the `mode`. Nothing until all answer."""
        told = self.made.told(self.fleet, "detect").values()
        values = {value for one in told for value in one.label_values("detector_policy_info", label)}
        return values if len(told) == WORKERS else set()

    def url(self) -> str:
        """Of the worker that the operator turns to."""
        return named(self.fleet, "detect-0").url


@contextmanager
def scene(began: float, rate: int, seed: int, screenshot: Path | None, folder: Path, rules: Path) -> Iterator[Scene]:
    """Everything runs, in `folder`, and has decided something; the rules watch from now on."""
    policy = made_policy(folder / "rules")
    console = Console(folder / "tokens.yaml")
    # Fixed ports: a worker that is started again answers where Prometheus has known it.
    port = free_ports(len(ROLES) * WORKERS)
    sections: dict[str, dict[str, Any]] = {
        "ingest": {"heartbeat_s": 1},
        "verdict": {
            "mode": "enforce",
            "assume_warm": True,
            "block_budget_per_hour": BUDGET,
            "policy": str(policy),
        },
        "admin": {"port": port, "tokens": str(folder / "tokens.yaml")},
    }
    targets = [f"127.0.0.1:{port + k}" for k in range(len(ROLES) * WORKERS)]
    with (
        deployment(folder, "rehearsal", **sections) as made,
        Fleet(made.config, WORKERS) as fleet,
        Campaign(made.kafka.options, Population(NUMBERS, seed), rate, made.source_partitions) as campaign,
    ):
        made.wait_ready(fleet, LIMIT_S)
        topics = made.settings.topics
        decisions = Heard(made.broker, topics.decisions, topics.partitions)
        _warm_up(campaign, decisions)
        with LocalPrometheus(folder / "prometheus", targets, [rules]) as prometheus:
            yield Scene(
                made=made,
                fleet=fleet,
                prometheus=prometheus,
                campaign=campaign,
                console=console,
                policy=policy,
                screenshot=screenshot,
                began=began,
                decisions=decisions,
                shadow=Heard(made.broker, topics.shadow, topics.partitions),
            )


def made_policy(folder: Path) -> Path:
    """The shipped policy, its deterministic rules alone: what a model makes of traffic that is made up is no matter."""
    shutil.copytree(CONFIGS / "lists", folder / "lists")
    tree = yaml.safe_load((CONFIGS / "policy.yaml").read_text(encoding="utf-8"))
    tree["rules"] = [rule for rule in tree["rules"] if rule.get("basis") == "deterministic"]
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def _warm_up(campaign: Campaign, decisions: Heard) -> None:
    numbers, until = campaign.show(MOBILE, WARM), time.monotonic() + LIMIT_S
    while not decisions.decided(numbers):
        if time.monotonic() > until:
            raise Fatal(f"nothing was decided on {WARM} spoofed numbers in {LIMIT_S:.0f} s")
        time.sleep(POLL_S)
