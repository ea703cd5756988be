"""Rehearsal: bad minutes of a deployment, with everything that operators have: alerts, orders, the status page.

    Campaign -> Kafka -> two ingest, two detect -> decisions
                              |
                         Prometheus, real rules made quicker -> Watcher

A script goes from step to step, and what does not come within its time is noted. At the end each alert must have fired
for its cause and cleared, the others have been silent, and every record have given its rows. Decided is by what a call
itself proves (`scene.made_policy`): how a model finds traffic that is made up would say nothing.
"""

import argparse
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from detector.errors import ConfigError
from loadtest.balance import Balance, balance
from loadtest.campaign import FIXED, MOBILE
from loadtest.command import add_common, conclude, work_folder
from loadtest.deployment import named
from loadtest.progress import RECOVER_S
from loadtest.scene import BUDGET, WORKERS, Scene, scene
from loadtest.watching import Row, Watcher, alert_names, hasten, judge, table

FEW, MANY = 6, 120
"""Spoofed numbers that the budget lets be blocked, and those that use it up on every partition."""
ON_ALL: Final = 24
"""Numbers that lie on most partitions. All of the script come to less than the 200 decisions of an action that are too
many for a first hour."""
CALM_S: Final = 60.0
"""Before the first fault and after the last: nothing may fire then. Before the first not even what is `ALLOWED`: the
service does all its work under load, and is well."""
VICTIM: Final = "detect-1"
DOWN, BUDGET_TRIPPED, RELOAD_FAILED = "DetectorDown", "DetectorBlockBudgetTripped", "DetectorReloadFailed"
BURN: Final = "DetectorAvailabilityBurnFast"
"""Half of the partitions stand still for the session of 6 s, which is no shorter than in life: in windows that are
shorter, and that have just begun, that is beyond what an hour may burn."""
ALLOWED: Final = {
    "DetectorLatencyBurnFast": "how fast this machine is, is no matter here",
    "DetectorLatencyBurnSlow": "how fast this machine is, is no matter here",
    "DetectorAvailabilityBurnSlow": "a takeover waits for the session of 6 s, which is no shorter than in life",
    "DetectorDrift": "the traffic is made up, and like nobody's",
}
"""What may fire, and why that says nothing against the service."""


def heartbeats(here: Scene, watcher: Watcher) -> None:
    """They come through on every partition, and no alert at all fires while nothing is wrong."""
    partitions = here.made.settings.topics.partitions
    fresh = "time() - max by (partition) (detector_heartbeat_timestamp_seconds) < 10"
    here.see(f"heartbeats of all {partitions} partitions", lambda: len(here.prometheus.query(fresh)) == partitions)
    here.tell(f"{CALM_S:.0f} s of calm")
    time.sleep(CALM_S)
    fired = sorted({one.alert for one in watcher.episodes.all})
    if fired:
        here.unmet.append(f"no alert fires before the first fault (got {', '.join(fired)})")
    here.tell(f"    alerts that fired in it: {', '.join(fired) or 'none'}")


def first_blocks(here: Scene, watcher: Watcher) -> str:
    """A campaign of spoofed calls begins, and its numbers are blocked; returns one of them."""
    numbers = here.campaign.show(FIXED, FEW)
    here.tell(f"a campaign begins: {FEW} fixed numbers of this country are shown on a trunk from abroad")
    here.see("all of them blocked on `decisions`", lambda: actions(here, numbers) == ["block"] * FEW)
    return numbers[0]


def actions(here: Scene, numbers: Collection[str]) -> list[str]:
    """What has been decided on these numbers."""
    return [one.action for one in here.decisions.on(numbers)]


def versions(here: Scene, numbers: Collection[str]) -> list[str]:
    """By which policy."""
    return [one.policy_version for one in here.decisions.on(numbers)]


def lose_a_worker(here: Scene, watcher: Watcher) -> None:
    """kill -9, held down; the others decide on, and it comes back."""
    victim = named(here.fleet, VICTIM)
    here.tell(f"kill -9 of {VICTIM}, which is held down")
    for alert in (DOWN, BURN):
        here.cause(alert, f"kill -9 of {VICTIM}")
    here.fleet.kill([victim], hold=True)
    here.see(f"{DOWN} and {BURN} fire", lambda: watcher.is_firing(DOWN) and watcher.is_firing(BURN))
    numbers = here.campaign.show(MOBILE, ON_ALL)
    here.see("the other one decides on what comes now", lambda: here.decisions.decided(numbers))
    here.tell(f"{VICTIM} is started again")
    here.remedy(DOWN, "started again")
    here.fleet.release(victim)
    here.see(f"{VICTIM} is ready", victim.is_ready)
    here.see(f"{DOWN} clears", lambda: not watcher.is_firing(DOWN))


def trip_the_budget(here: Scene, watcher: Watcher) -> None:
    """More blocks than an hour may have: the rest are flags."""
    here.tell(f"the campaign swells: {MANY} more numbers, with a budget of {BUDGET} blocks an hour")
    here.cause(BUDGET_TRIPPED, f"{MANY} spoofed numbers")
    here.console.page(here.url())  # rates are told from the second look on
    numbers = here.campaign.show(FIXED, MANY)
    here.see(f"{BUDGET_TRIPPED} fires", lambda: watcher.is_firing(BUDGET_TRIPPED))
    here.see("a decision on each of them", lambda: here.decisions.decided(numbers))
    found = here.decisions.on(numbers)
    held = [one for one in found if "budget" in one.held_back]
    blocks = sum(one.action == "block" for one in found)
    here.tell(f"    {blocks} of them blocked, {len(held)} flagged and held back by the budget")
    if not held or any(one.action != "flag" for one in held):
        here.unmet.append("what the budget holds back is flagged")
    if here.screenshot:
        shown = here.console.picture(here.url(), here.screenshot)
        here.tell(f"    the status page of detect-0 stands in {shown.name}")


def reload_the_policy(here: Scene, watcher: Watcher) -> None:
    """A broken file is not taken and the old rules decide on; a whole one is."""
    text = here.policy.read_text(encoding="utf-8")
    old = "".join(here.detect_says("version"))
    here.tell(f"the policy file is broken; in force: {old}")
    here.cause(RELOAD_FAILED, "the policy file broken")
    here.policy.write_text(broken(text), encoding="utf-8")
    here.see(f"{RELOAD_FAILED} fires", lambda: watcher.is_firing(RELOAD_FAILED))
    numbers = here.campaign.show(MOBILE, 1)
    here.see("the old policy decides on", lambda: versions(here, numbers) == [old])
    here.tell("the policy file is mended, under another name")
    here.remedy(RELOAD_FAILED, "mended")
    here.policy.write_text(mended(text), encoding="utf-8")
    here.see(
        "one other policy in force in both detect workers",
        lambda: len(said := here.detect_says("version")) == 1 and said != {old},
    )
    here.see(f"{RELOAD_FAILED} clears", lambda: not watcher.is_firing(RELOAD_FAILED))
    new = "".join(here.detect_says("version"))
    numbers = here.campaign.show(MOBILE, 1)
    here.see(f"{new} decides", lambda: versions(here, numbers) == [new])


def broken(policy: str) -> str:
    """What an editor leaves that was closed too early: no YAML."""
    return policy.replace("rules:\n", "rules: [\n", 1)


def mended(policy: str) -> str:
    """The same rules under another name, so that the version is another."""
    return policy.replace("name: default\n", "name: mended\n", 1)


def release(here: Scene, blocked: str) -> None:
    """An operator frees a blocked number through the admin API."""
    whole = here.decisions.on([blocked])[-1].number
    body = {"action": "release", "number": whole, "service": "voice", "reason": "rehearsal: an honest caller"}
    here.tell(f"an operator releases {whole}")
    order = here.console.order(here.url(), "/v1/commands", body)
    here.tell(f"    order {order} is stored")
    here.see("the release on `decisions`", lambda: here.decisions.on([blocked])[-1].action == "release")


def kill_switch(here: Scene) -> None:
    """Everything to shadow at once, and back."""
    here.tell("kill switch on: an operator orders the mode shadow")
    switch(here, "shadow", "shadow")
    numbers = here.campaign.show(MOBILE, ON_ALL)
    here.see("what comes now is decided aside, on `decisions.shadow`", lambda: here.shadow.decided(numbers))
    if here.decisions.on(numbers):
        here.unmet.append("in shadow mode nothing is on `decisions`")
    here.tell("kill switch off: an operator orders the mode of the settings")
    switch(here, "configured", here.made.settings.verdict.mode)
    again = here.campaign.show(MOBILE, ON_ALL)
    here.see("what comes now is decided on `decisions` again", lambda: here.decisions.decided(again))
    if here.shadow.on(again):
        here.unmet.append("after the kill switch nothing is on `decisions.shadow`")


def switch(here: Scene, order: str, mode: str) -> None:
    """All workers have heard of it."""
    here.console.order(here.url(), "/v1/mode", {"mode": order, "reason": "rehearsal"})
    here.see(f"both detect workers decide in mode {mode}", lambda: here.detect_says("mode") == {mode})


def calm_down(here: Scene, watcher: Watcher) -> None:
    """What has to clear has cleared, and stays so."""
    here.tell("nothing is done any more: what has fired for a reason has to clear")
    here.see(
        f"{', '.join(here.wanted)} do not fire",
        lambda: not any(map(watcher.is_firing, here.wanted)),
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
    with scene(began, rate, seed, screenshot, folder, rules) as here:
        here.tell(f"Kafka, {WORKERS} workers of each role, Prometheus; windows and `for` divided by {factor}")
        with Watcher(here.prometheus, here.clock_s, here.tell) as watcher:
            heartbeats(here, watcher)
            blocked = first_blocks(here, watcher)
            lose_a_worker(here, watcher)
            trip_the_budget(here, watcher)
            reload_the_policy(here, watcher)
            release(here, blocked)
            kill_switch(here)
            calm_down(here, watcher)
        here.campaign.end()
        here.see("everything written is decided", lambda: here.made.reach_ends(RECOVER_S))
        found = balance(here.made.broker, here.made.settings)
        here.unmet += found.unmet(here.campaign.records, here.campaign.broken)
        here.tell(
            f"{found.records:,} records: {found.rows:,} rows, {found.rejected:,} rejects, {found.wrong} wrong; "
            f"{len(here.decisions.all()):,} decisions, {len(here.shadow.all()):,} aside"
        )
        rows = judge(alert_names(), here.wanted, ALLOWED, watcher.episodes)
        codes = here.fleet.stop()
        here.unmet += [f"{name} exits with 0 at the end (got {code})" for name, code in codes.items() if code]
        here.tell("the end")
        (folder / "rehearsal.log").write_text("\n".join(here.lines) + "\n", encoding="utf-8")
        return Rehearsed(factor, here.clock_s(), rows, found, watcher.missed, here.lines, here.unmet)


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
        "--divide-by", type=int, default=5, metavar="N", help="windows and `for` of alerts (default: %(default)s)"
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
    if arguments.folder and (arguments.folder / "kafka").exists():
        raise ConfigError(f"--folder: wanted one without an earlier run (got {arguments.folder})")
    with work_folder(arguments.folder, "rehearsal") as folder:
        rehearsed = rehearse(arguments.divide_by, arguments.rate, arguments.seed, arguments.screenshot, folder)
    unmet = rehearsed.unmet()
    return conclude(arguments.json, report(rehearsed), asdict(rehearsed) | {"unmet": unmet}, unmet)
