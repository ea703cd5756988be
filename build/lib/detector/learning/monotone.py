"""Monotone: features whose direction is known, so that no fraudster scores lower by doing more of what gives it away.

A constraint holds with all other features as they are. Named here are only features of which that is known; evidence
are the quantiles of 1,962 fraud and 4,144 honest numbers (Sichuan 2019-20) or the meaning of the counter itself.
Volumes and durations are left free: real fraud is found at both ends of them.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from detector.errors import ConfigError
from detector.features.catalogue import FEATURES

MEASURES: Final[Mapping[str, tuple[int, str]]] = {
    "distinct_share": (1, "calls to strangers: median .81 of fraud numbers, .15 of honest ones"),
    "reciprocity": (-1, "contacts that answer back are what bought numbers do not have"),
    "repeat_peers": (-1, "contacts met again: 1.2 contacts per counterparty with fraud, 6.8 with honest numbers"),
    "out_share": (1, "calls go one way: median .97 of fraud numbers, .52 of honest ones"),
    "sms_in_share": (-1, "messages received: fraud numbers receive fewer of theirs (.957 against .994)"),
    "talk_in_share": (-1, "talk on calls received: nobody calls a SIM box"),
    "distinct_in": (-1, "people who call it: nobody calls a SIM box"),
    "failed_share": (1, "calls to numbers that do not exist: sequential dialling"),
    "cancelled_share": (1, "hung up before an answer: Wangiri"),
    "risk_calls": (1, "calls to premium, satellite and high-risk zones: revenue share fraud"),
    "risk_talk": (1, "talk to premium, satellite and high-risk zones: revenue share fraud"),
    "devices": (1, "SIM rotation: 2 devices and up to 7 with fraud, 1 and up to 3 with honest numbers"),
    "unattested_share": (1, "calls that the network does not vouch for"),
}
"""By measure of the catalogue, in all its windows: direction, and the reason."""

KNOWN: Final[Mapping[str, int]] = {
    feature.name: MEASURES[feature.measure][0] for feature in FEATURES if feature.measure in MEASURES
}
WORDS: Final = {"rising": 1, "falling": -1, "free": 0}


def directions(features: Sequence[str], asked: Sequence[str] = (), known: bool = True) -> dict[str, int]:
    """1 or -1 by feature: the catalogue's where `known`, and over them those `asked` for as `name=rising`.

    Raises `ConfigError` for a feature or a word that is not there.
    """
    found = {name: KNOWN[name] for name in features if known and name in KNOWN}
    for text in asked:
        name, _, word = text.partition("=")
        if name not in features:
            raise ConfigError(f"--monotone {text}: wanted a feature of the table (got {name!r})")
        if word not in WORDS:
            raise ConfigError(f"--monotone {text}: wanted one of {', '.join(WORDS)} (got {word!r})")
        found[name] = WORDS[word]
    return {name: way for name, way in found.items() if way}
