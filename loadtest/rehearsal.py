"""Rehearsal: bad minutes of a deployment, with everything that operators have: alerts, orders, the status page.

    Campaign -> Kafka -> two ingest, two detect -> decisions
                              |
                         Prometheus, real rules made quicker -> Watcher

A script goes from step to step, and what does not come within its time is noted. At the end each alert must have fired
for its cause and cleared, the others have been silent, and every record have given its rows.
"""

import argparse
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from detector.broker import Broker, TopicPartition
from detector.errors import ConfigError
from detector.verdict.decisions import Decision
from loadtest.balance import Balance, balance
from loadtest.campaign import FIXED, MOBILE, Campaign
from loadtest.command import add_common, conclude, say, work_folder
from loadtest.configuration import CONFIGS
from loadtest.console import Console
from loadtest.deployment import Deployment, deployment, named
from loadtest.fleet import ROLES, Fleet
from loadtest.population import Population
from loadtest.progress import RECOVER_S
from loadtest.prometheus import LocalPrometheus
from loadtest.throughput import free_ports
from loadtest.watching import Row, Wanted, Watcher, alert_names, hasten, judge, table

WORKERS: Final = 2
NUMBERS: Final = 20_000
BUDGET: Final = 24
"""Blocks an hour: two on each of twelve partitions."""
FEW, MANY = 6, 120
"""Spoofed numbers that the budget lets be blocked, and those that use it up on every partition."""
CALM_S: Final = 30.0
"""Before the first fault and after the last: nothing may fire then."""
LIMIT_S: Final = 120.0
"""Of anything that is waited for, on a machine that has other things to do."""
POLL_S: Final = 0.5
VICTIM: Final = "detect-1"
DOWN, BUDGET_TRIPPED, RELOAD_FAILED = "DetectorDown", "DetectorBlockBudgetTripped", "DetectorReloadFailed"
ALLOWED: Final = {
    "DetectorLatencyBurnFast": "how fast this machine is, is no matter here",
    "DetectorLatencyBurnSlow": "how fast this machine is, is no matter here",
    "DetectorAvailabilityBurnFast": "a takeover waits for the session of 6 s, which is no shorter than in life",
    "DetectorAvailabilityBurnSlow": "a takeover waits for the session of 6 s, which is no shorter than in life",
    "DetectorDrift": "the traffic is made up, and like nobody's",
}
"""What may fire, and why that says nothing against the service."""


class Heard:
    """Decisions of a topic, each read once."""

    def __init__(self, broker: Broker, topic: str, partitions: int) -> None:
        self._broker = broker
        self._next = {TopicPartition(topic, q): 0 for q in range(partitions)}
        self._all: list[Decision] = []

    def on(self, number: str) -> list[Decision]:
        """Those on a number until now, whatever trunk group it came by."""
        return [one for one in self.all() if one.number.partition("@")[0] == number]

    def all(self) -> list[Decision]:
        """Everything until now."""
        for at, start in self._next.items():
            end = self._broker.watermarks(at)[1]
            self._all += [Decision.from_json(one.value() or b"") for one in self._broker.read(at, start, end)]
            self._next[at] = end
        return self._all


@dataclass(kw_only=True)
class Stage:
    """Where the script plays."""

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
        """What all detect workers say of the policy in force: its `version`, or the `mode`."""
        told = self.made.told(self.fleet, "detect").values()
        return {value for one in told for value in one.label_values("detector_policy_info", label)}

    def url(self) -> str:
        """Of the worker that the operator turns to."""
        return named(self.fleet, "detect-0").url


def heartbeats(stage: Stage, watcher: Watcher) -> None:
    """They come through on every partition, and nothing fires while nothing is wrong."""
    partitions = stage.made.settings.topics.partitions
    fresh = "time() - max by (partition) (detector_heartbeat_timestamp_seconds) < 10"
    stage.see(f"heartbeats of all {partitions} partitions", lambda: len(stage.prometheus.query(fresh)) == partitions)
    stage.tell(f"{CALM_S:.0f} s of calm")
    time.sleep(CALM_S)


def first_blocks(stage: Stage, watcher: Watcher) -> str:
    """A campaign of spoofed calls begins, and its numbers are blocked; returns one of them."""
    numbers = stage.campaign.show(FIXED, FEW)
    stage.tell(f"a campaign begins: {FEW} fixed numbers of this country are shown on a trunk from abroad")
    blocked: list[str] = []

    def is_blocked() -> bool:
        blocked[:] = [n for n in numbers if any(one.action == "block" for one in stage.decisions.on(n))]
        return bool(blocked)

    stage.see("a block on `decisions`", is_blocked)
    stage.see(
        "a decision on each of them", lambda: all(map(stage.decisions.on, numbers))
    )  # two of them may share a partition's budget with a third
    return blocked[0] if blocked else numbers[0]


def lose_a_worker(stage: Stage, watcher: Watcher) -> None:
    """kill -9, held down; the others decide on, and it comes back."""
    victim = named(stage.fleet, VICTIM)
    stage.tell(f"kill -9 of {VICTIM}, which is held down")
    stage.cause(DOWN, f"kill -9 of {VICTIM}")
    stage.fleet.kill([victim], hold=True)
    stage.see(f"{DOWN} fires", lambda: watcher.is_firing(DOWN))
    number = stage.campaign.show(MOBILE, 1)[0]
    stage.see("the other one decides on what comes now", lambda: stage.decisions.on(number))
    stage.tell(f"{VICTIM} is started again")
    stage.remedy(DOWN, "started again")
    stage.fleet.release(victim)
    stage.see(f"{VICTIM} is ready", victim.is_ready)
    stage.see(f"{DOWN} clears", lambda: not watcher.is_firing(DOWN))


def trip_the_budget(stage: Stage, watcher: Watcher) -> None:
    """More blocks than an hour may have: the rest are flags."""
    stage.tell(f"the campaign swells: {MANY} more numbers, with a budget of {BUDGET} blocks an hour")
    stage.cause(BUDGET_TRIPPED, f"{MANY} spoofed numbers")
    numbers = stage.campaign.show(FIXED, MANY)
    stage.see(f"{BUDGET_TRIPPED} fires", lambda: watcher.is_firing(BUDGET_TRIPPED))
    stage.see("a decision on each of them", lambda: all(map(stage.decisions.on, numbers)))
    found = [one for number in numbers for one in stage.decisions.on(number)]
    held = [one for one in found if "budget" in one.held_back]
    blocks = sum(one.action == "block" for one in found)
    stage.tell(f"    {blocks} of them blocked, {len(held)} flagged and held back by the budget")
    if not held or any(one.action != "flag" for one in held):
        stage.unmet.append("what the budget holds back is flagged")
    if stage.screenshot:
        shown = stage.console.picture(stage.url(), stage.screenshot)
        stage.tell(f"    the status page of detect-0 stands in {shown.name}")


def reload_the_policy(stage: Stage, watcher: Watcher) -> None:
    """A broken file is not taken and the old rules decide on; a whole one is."""
    text = stage.policy.read_text(encoding="utf-8")
    (old,) = stage.detect_says("version")
    stage.tell(f"the policy file is broken; in force: {old}")
    stage.cause(RELOAD_FAILED, "the policy file broken")
    stage.policy.write_text(text.replace("rules:\n", "rules: [\n", 1), encoding="utf-8")
    stage.see(f"{RELOAD_FAILED} fires", lambda: watcher.is_firing(RELOAD_FAILED))
    number = stage.campaign.show(MOBILE, 1)[0]
    stage.see("the old policy decides on", lambda: [d.policy_version for d in stage.decisions.on(number)] == [old])
    stage.tell("the policy file is mended, under another name")
    stage.remedy(RELOAD_FAILED, "mended")
    stage.policy.write_text(text.replace("name: default\n", "name: mended\n", 1), encoding="utf-8")
    stage.see(
        "one other policy in force in both detect workers",
        lambda: len(said := stage.detect_says("version")) == 1 and said != {old},
    )
    stage.see(f"{RELOAD_FAILED} clears", lambda: not watcher.is_firing(RELOAD_FAILED))
    new = "".join(stage.detect_says("version"))
    number = stage.campaign.show(MOBILE, 1)[0]
    stage.see(f"{new} decides", lambda: [d.policy_version for d in stage.decisions.on(number)] == [new])


def release(stage: Stage, blocked: str) -> None:
    """An operator frees a blocked number through the admin API."""
    whole = stage.decisions.on(blocked)[-1].number
    body = {"action": "release", "number": whole, "service": "voice", "reason": "rehearsal: an honest caller"}
    stage.tell(f"an operator releases {whole}")
    order = stage.console.order(stage.url(), "/v1/commands", body)
    stage.tell(f"    order {order} is stored")
    stage.see("the release on `decisions`", lambda: stage.decisions.on(blocked)[-1].action == "release")


def kill_switch(stage: Stage) -> None:
    """Everything to shadow at once, and back."""
    for mode, topic, other in (
        ("shadow", stage.shadow, stage.decisions),
        ("configured", stage.decisions, stage.shadow),
    ):
        stage.tell(f"kill switch {'on' if mode == 'shadow' else 'off'}: an operator orders the mode {mode}")
        stage.console.order(stage.url(), "/v1/mode", {"mode": mode, "reason": "rehearsal"})
        wanted = "shadow" if mode == "shadow" else stage.made.settings.verdict.mode
        stage.see(f"both detect workers decide in mode {wanted}", lambda w=wanted: stage.detect_says("mode") == {w})
        number = stage.campaign.show(MOBILE, 1)[0]
        where = "aside, on `decisions.shadow`" if mode == "shadow" else "on `decisions` again"
        stage.see(f"what comes now is decided {where}", lambda t=topic, n=number: t.on(n))
        if other.on(number):
            stage.unmet.append(f"in mode {mode} {number} is decided on one topic alone")


def calm_down(stage: Stage, watcher: Watcher) -> None:
    """What has to clear has cleared, and stays so."""
    stage.tell("nothing is done any more: what has fired for a reason has to clear")
    stage.see(
        f"{', '.join(stage.wanted)} do not fire",
        lambda: not any(map(watcher.is_firing, stage.wanted)),
    )
    time.sleep(CALM_S)


@dataclass
class Rehearsed:
    """What the command measured."""

    factor: int
    seconds: float
    rows: list[Row]
    balance: Balance
    missed: int
    """Looks at Prometheus without an answer."""
    lines: list[str]
    noted: list[str]

    def unmet(self) -> list[str]:
        """Everything that should be and is not."""
        return [*self.noted, *(sentence for row in self.rows for sentence in row.unmet)]


def rehearse(factor: int, rate: int, seed: int, screenshot: Path | None, folder: Path) -> Rehearsed:
    """The whole script, once."""
    began = time.monotonic()
    rules = hasten(factor, folder / "alerts.yaml")
    with _stage(began, rate, seed, screenshot, folder, rules) as stage:
        stage.tell(f"Kafka, {WORKERS} workers of each role, Prometheus; windows and `for` divided by {factor}")
        with Watcher(stage.prometheus, stage.clock_s, stage.tell) as watcher:
            heartbeats(stage, watcher)
            blocked = first_blocks(stage, watcher)
            lose_a_worker(stage, watcher)
            trip_the_budget(stage, watcher)
            reload_the_policy(stage, watcher)
            release(stage, blocked)
            kill_switch(stage)
            calm_down(stage, watcher)
        stage.campaign.end()
        stage.see("everything written is decided", lambda: stage.made.reach_ends(RECOVER_S))
        found = balance(stage.made.broker, stage.made.settings)
        stage.unmet += found.unmet(stage.campaign.records, stage.campaign.broken)
        stage.tell(
            f"{found.records:,} records: {found.rows:,} rows, {found.rejected:,} rejects, {found.wrong} wrong; "
            f"{len(stage.decisions.all()):,} decisions, {len(stage.shadow.all()):,} aside"
        )
        rows = judge(alert_names(), stage.wanted, ALLOWED, watcher.episodes)
        codes = stage.fleet.stop()
        stage.unmet += [f"{name} exits with 0 at the end (got {code})" for name, code in codes.items() if code]
        stage.tell("the end")
        (folder / "rehearsal.log").write_text("\n".join(stage.lines) + "\n", encoding="utf-8")
        return Rehearsed(factor, stage.clock_s(), rows, found, watcher.missed, stage.lines, stage.unmet)


@contextmanager
def _stage(began: float, rate: int, seed: int, screenshot: Path | None, folder: Path, rules: Path) -> Iterator[Stage]:
    policy = folder / "rules" / "policy.yaml"
    shutil.copytree(CONFIGS / "lists", policy.parent / "lists")
    shutil.copy(CONFIGS / "policy.yaml", policy)
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
    with deployment(folder, "rehearsal", **sections) as made, Fleet(made.config, WORKERS) as fleet:
        made.wait_ready(fleet, LIMIT_S)
        partitions = made.settings.topics.partitions
        with (
            LocalPrometheus(folder / "prometheus", targets, [rules]) as prometheus,
            Campaign(made.kafka.options, Population(NUMBERS, seed), rate, made.source_partitions) as campaign,
        ):
            yield Stage(
                made=made,
                fleet=fleet,
                prometheus=prometheus,
                campaign=campaign,
                console=console,
                policy=policy,
                screenshot=screenshot,
                began=began,
                decisions=Heard(made.broker, made.settings.topics.decisions, partitions),
                shadow=Heard(made.broker, made.settings.topics.shadow, partitions),
            )


def report(rehearsed: Rehearsed) -> str:
    """The alerts, and whatever was not as it should be."""
    unmet = rehearsed.unmet()
    lines = [
        f"{rehearsed.seconds / 60:.1f} minutes, windows and `for` divided by {rehearsed.factor}; "
        f"{rehearsed.missed} looks at Prometheus without an answer",
        "",
        table(rehearsed.rows),
        *(["not as it should be:", *unmet] if unmet else ["every step was seen, every alert did what it should"]),
    ]
    return "\n".join(lines) + "\n"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser("rehearsal", help="faults, orders and a reload, and which alerts fire and clear")
    parser.add_argument(
        "--divide-by", type=int, default=10, metavar="N", help="windows and `for` of alerts (default: %(default)s)"
    )
    parser.add_argument("--rate", type=int, default=200, help="records a second (default: %(default)s)")
    parser.add_argument(
        "--screenshot", type=Path, metavar="FILE", help="the status page, a PNG (without Chromium HTML)"
    )
    add_common(parser)
    parser.set_defaults(run=_command)


def _command(arguments: argparse.Namespace) -> int:
    """Play it, and print the table; 1 where anything was not as it should be."""
    if not 1 <= arguments.divide_by <= 15:
        # By 15 the shortest `for`, a minute, is 4 s, and the shortest window 20 s: Prometheus looks once a second.
        raise ConfigError(f"--divide-by: wanted 1 to 15 (got {arguments.divide_by})")
    with work_folder(arguments.folder, "rehearsal") as folder:
        rehearsed = rehearse(arguments.divide_by, arguments.rate, arguments.seed, arguments.screenshot, folder)
    unmet = rehearsed.unmet()
    return conclude(arguments.json, report(rehearsed), asdict(rehearsed) | {"unmet": unmet}, unmet)
