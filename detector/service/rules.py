"""Rules: what decides, as one: model, challenger, policy with its lists, zones. `watch` replaces them by newer ones."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from msgspec import structs

from detector.config import Mode, Settings, convert, read_yaml
from detector.errors import ConfigError
from detector.ingest.zones import ZoneTable
from detector.metrics import Metrics
from detector.pipeline import Detector
from detector.service.aside import Executor
from detector.service.telling import decide_none
from detector.service.watch import Look, Watch, look
from detector.verdict.challenge import Challenge
from detector.verdict.judge import Judge
from detector.verdict.model import Model
from detector.verdict.policy import Policy, PolicyText


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
        return Rules.of(model, challenger or None, policy, zones, settings)

    @staticmethod
    def of(model: Model, challenger: Model | None, policy: Policy, zones: ZoneTable, settings: Settings) -> "Rules":
        """Of these, whatever files the settings name. `ConfigError` where the policy does not fit the settings."""
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
        return self.of(self.model, self.challenger, self.policy, self.zones, settings)

    def versions(self) -> Mapping[str, str]:
        """What an audit must know to decide the same."""
        return {"mode": self.mode, "model": self.model.version, "policy": self.policy.version}

    def told(self) -> str:
        """What decides, for the log."""
        return f"{self.model.version} and {self.policy.version}"

    def tell(self, metrics: Metrics) -> None:
        """What is in force, and nothing else, is in the metrics."""
        for gauge in (metrics.model_info, metrics.challenger_info, metrics.policy_info):
            gauge.clear()
        for gauge, model in ((metrics.model_info, self.model), (metrics.challenger_info, self.challenger)):
            if model is not None:
                gauge.labels(model.version, str(model.simulated).lower()).set(1)
        metrics.policy_info.labels(self.policy.version, self.mode).set(1)
        decide_none(metrics, self.policy.text)


def files(settings: Settings) -> list[Path]:
    """What rules are loaded from now, and whatever else lies in the folder of a bundle."""
    policy = settings.path(settings.verdict.policy)
    found = [policy, settings.path(settings.home.zones)]
    with suppress(ConfigError):
        found += _lists(look(policy))
    for bundle in (settings.model.bundle, settings.model.challenger):
        if bundle is not None:
            found += sorted(settings.path(bundle).glob("*"))
    return found


@lru_cache(maxsize=1)
def _lists(policy: Look) -> tuple[Path, ...]:
    """The files of the lists that a policy names, be they there or not; `ConfigError` for a file that is no policy.

    It is read once for each of its looks: YAML of its length takes tens of milliseconds, in the poll loop.
    """
    path = Path(policy[0])
    lists = convert(read_yaml(path), PolicyText, str(path)).lists
    return tuple(path.parent / name for name in lists.values())


def watch_rules(settings: Settings, executor: Executor, metrics: Metrics) -> "Watch[Rules]":
    """Rules are loaded, and their files looked at from then on."""
    return Watch(partial(Rules.load, settings), partial(files, settings), executor, metrics)
