"""Rules: what decides, as one: model, challenger, policy with its lists, zones; and newer ones once their files change.

    files --looked at every few seconds--> changed, and at rest --Rules.load, in a thread--> taken between two steps

What cannot be loaded is said, and the rules in force stay until the files change again.
"""

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec import structs

from detector.config import Mode, Settings
from detector.errors import DetectorError
from detector.ingest.zones import ZoneTable
from detector.metrics import Metrics
from detector.pipeline import Detector
from detector.service.aside import Executor
from detector.verdict.challenge import Challenge
from detector.verdict.judge import Judge
from detector.verdict.model import Model
from detector.verdict.policy import Policy

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""From one look at the files to the next. They are at rest when two looks see the same."""

Seen = tuple[tuple[str, int, int, int], ...]
"""Of each file its path, when it was written, its size, and which one of that name it is; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides on a row."""

    detector: Detector
    model: Model
    challenger: Model | None
    policy: Policy
    zones: ZoneTable
    settings: Settings
    """As these decide: their mode is the one in force."""

    @staticmethod
    def load(settings: Settings) -> "Rules":
        """From the files that the settings name. `ConfigError` or `SnapshotError` say what is wrong, and where."""
        model = Model.load(settings.path(settings.model.bundle))
        policy = Policy.load(settings.path(settings.verdict.policy))
        zones = ZoneTable.load(settings.path(settings.home.zones))
        challenger = settings.model.challenger and Model.load(settings.path(settings.model.challenger))
        return Rules._of(model, challenger or None, policy, zones, settings)

    @staticmethod
    def _of(model: Model, challenger: Model | None, policy: Policy, zones: ZoneTable, settings: Settings) -> "Rules":
        challenge = Challenge(model.thresholds, challenger) if challenger else None
        detector = Detector(settings, Judge(policy, model, zones, settings), model, challenge)
        return Rules(detector, model, challenger, policy, zones, settings)

    @property
    def mode(self) -> Mode:
        """What may be decided."""
        return self.settings.verdict.mode

    def in_mode(self, mode: Mode) -> "Rules":
        """The same in another mode. Looks at no file: a kill switch works whatever has become of those."""
        if mode == self.mode:
            return self
        settings = structs.replace(self.settings, verdict=structs.replace(self.settings.verdict, mode=mode))
        return self._of(self.model, self.challenger, self.policy, self.zones, settings)

    def versions(self) -> Mapping[str, str]:
        """What an audit must know to decide the same."""
        return {"mode": self.mode, "model": self.model.version, "policy": self.policy.version}

    def tell(self, metrics: Metrics) -> None:
        """What is in force, and nothing else, is in the metrics."""
        for gauge in (metrics.model_info, metrics.challenger_info, metrics.policy_info):
            gauge.clear()
        for gauge, model in ((metrics.model_info, self.model), (metrics.challenger_info, self.challenger)):
            if model is not None:
                gauge.labels(model.version, str(model.simulated).lower()).set(1)
        metrics.policy_info.labels(self.policy.version, self.mode).set(1)
        metrics.reload_timestamp.set_to_current_time()
        metrics.reload_success.set(1)


class Watch:
    """Looks at the files of `rules`, which are in force; only the poll loop touches it."""

    def __init__(self, settings: Settings, rules: Rules, executor: Executor, metrics: Metrics) -> None:
        self._settings = settings
        self._rules = rules
        self._executor = executor
        self._metrics = metrics
        self._tried = self._last = self._seen()
        self._look_at_s = time.monotonic() + LOOK_S
        self._loading: Future[Rules] | None = None

    def newer(self) -> Rules | None:
        """Rules to be taken in place of those in force, once when their files have changed."""
        if self._loading is not None:
            return self._loaded(self._loading) if self._loading.done() else None
        if time.monotonic() < self._look_at_s:
            return None
        self._look_at_s = time.monotonic() + LOOK_S
        seen = self._seen()
        if seen == self._last != self._tried:
            self._tried = seen
            self._loading = self._executor.submit(Rules.load, self._settings)
        self._last = seen
        return None

    def _loaded(self, loading: "Future[Rules]") -> Rules | None:
        self._loading = None
        try:
            rules = loading.result()
        except DetectorError as error:
            log.error("the rules in force stay (%s): %s", self._told(self._rules), error)
            self._metrics.reloads.labels("failed").inc()
            self._metrics.reload_success.set(0)
            return None
        log.info("from now on %s decide, until now %s", self._told(rules), self._told(self._rules))
        self._metrics.reloads.labels("taken").inc()
        self._rules = rules
        return rules

    @staticmethod
    def _told(rules: Rules) -> str:
        return f"{rules.model.version} and {rules.policy.version}"

    def _seen(self) -> Seen:
        settings = self._settings
        policy = settings.path(settings.verdict.policy)
        files = [policy, settings.path(settings.home.zones)]
        files += [policy.parent / name for name in self._rules.policy.text.lists.values()]
        for bundle in (settings.model.bundle, settings.model.challenger):
            if bundle is not None:
                files += sorted(settings.path(bundle).glob("*"))
        return tuple(_look(file) for file in files)

    def close(self) -> None:
        """Nothing is loaded any more."""
        self._executor.shutdown()


def _look(file: Path) -> tuple[str, int, int, int]:
    try:
        found = file.stat()
    except OSError:
        return str(file), 0, 0, 0
    return str(file), found.st_mtime_ns, found.st_size, found.st_ino
