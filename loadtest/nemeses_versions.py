"""Changes of what decides: another mode, policy or model, taken up by workers one by one or all at once."""

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Final

import yaml

from loadtest.configuration import reconfigure
from loadtest.history import FIRST_MONDAY_MS
from loadtest.nemesis import Nemesis
from loadtest.world import World

SPOOFED: Final = 50
"""Records that are decided on, before and after each change."""


class Rollout(Nemesis):
    """Detect is started again with another mode, policy and model, in order or by kill -9; in the end, with the first.

    While a rollout is half done, partitions are decided on by different versions: `control` tells which.
    """

    name = "mode, policy and model change"
    strikes = 4

    def __init__(self) -> None:
        super().__init__()
        self._turn = 0

    def strike(self, world: World) -> None:
        world.writer.add(self._spoofed(world))
        first = world.settings
        policies = [first.path(first.verdict.policy), _other_policy(world)]
        models = [first.path(first.model.bundle), _other_model(world)]
        world.oracle.learn_policy(policies[1])
        world.oracle.learn_model(models[1])
        mode, policy, model = (("flag", 1, 0), ("shadow", 1, 1), ("enforce", 0, 1), (first.verdict.mode, 0, 0))[
            self._turn
        ]
        reconfigure(
            world.config,
            verdict={"mode": mode, "policy": str(policies[policy])},
            model={"bundle": str(models[model])},
        )
        workers = world.fleet.of("detect")
        if self._turn % 2:
            world.fleet.kill(workers)
        else:
            for worker in workers:
                world.fleet.strike(worker, signal.SIGTERM)
                world.fleet.gone(worker)
        self._turn += 1

    def heal(self, world: World) -> None:
        """What comes now is decided by the new ones alone."""
        world.writer.add(self._spoofed(world))
        time.sleep(1.0)

    def _spoofed(self, world: World) -> list[bytes]:
        """Calls from abroad that show fixed numbers of this country: each makes a decision, whatever the model says."""
        mark = world.chance.randrange(10_000)
        return [
            b'{"id":"spoofed-%d-%d","type":"call","from":"+9992%04d%03d","to":"+999710000000","trunk":"international-1",'
            b'"attested":false,"start":%d,"end":%d,"duration":60,"outcome":"answered"}'
            % (mark, i, mark, i, FIRST_MONDAY_MS, FIRST_MONDAY_MS + 60_000)
            for i in range(SPOOFED)
        ]

    def see(self, world: World) -> None:
        told = {by.mode for by, decisions in world.oracle.decided_by.items() if decisions}
        self.want(
            told == {"flag", "shadow", "enforce"}, f"every mode decides something (got {', '.join(sorted(told))})"
        )
        decided = [f"{by.mode}, {by.policy}, {by.model}: {n}" for by, n in world.oracle.decided_by.items()]
        self.notes.append("decisions by version so far: " + "; ".join(decided))


def _other_policy(world: World) -> Path:
    """The policy without its last rule, under another name."""
    mine = world.settings.path(world.settings.verdict.policy)
    other = world.folder.resolve() / "other policy" / mine.name
    if not other.exists():
        shutil.copytree(mine.parent / "lists", other.parent / "lists")
        tree = yaml.safe_load(mine.read_text(encoding="utf-8"))
        tree["name"] = "other"
        tree["rules"].pop()
        other.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return other


def _other_model(world: World) -> Path:
    """The model with a lower threshold, under another version."""
    mine = world.settings.path(world.settings.model.bundle)
    other = world.folder.resolve() / "other model"
    if not other.exists():
        shutil.copytree(mine, other)
        path = other / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest["version"] += "-other"
        manifest["thresholds"]["flag"] = (manifest["thresholds"]["watch"] + manifest["thresholds"]["flag"]) / 2
        path.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return other


VERSIONS: Final[tuple[type[Nemesis], ...]] = (Rollout,)
