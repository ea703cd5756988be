"""What the judge decided before: a seeded log, its decisions byte for byte under every mode.

The digests were first taken from a judge that evaluated each rule on each row by itself (2026-11-24), so that
no faster way of matching and weighing may decide otherwise. They changed once on purpose (2026-11-29): a block that
is held back is said though a flag or a warning is in force, some 5 to 40 decisions more. Scores and reasons are left
out: they are the model's, which another scikit-learn fits otherwise.
"""

import random
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from detector.config import Settings
from detector.features.state import Status
from detector.ingest.zones import ZoneClass
from detector.records import (
    UNKNOWN_DURATION,
    UNKNOWN_RING,
    Flag,
    Kind,
    NumberKind,
    Role,
    pack_digits,
    pack_number,
    pack_sender,
)
from detector.units import MINUTE_MS
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy
from tests.verdict.moments import FIXED, MOBILE, START_MS, ZONES, Entry, command, moment, order
from tests.verdict.moments import settings as settings_with

SEED = 20_261_124
ROWS = 6_000

LIFE: dict[str, Any] = {"ttl_s": 3_600, "reason": "Recorded."}
RULES: list[dict[str, Any]] = [
    {"id": "listed", "when": 'intl_trunk and in_list("bad")', "kinds": ["call"], "action": "block"}
    | {"scope": "trunk", "basis": "deterministic", "sources": [], "max_ttl_s": 20_000},
    {"id": "fixed", "when": 'intl_trunk and home and own_zone_class in ("geographic", "unallocated")'}
    | {"kinds": ["call"], "action": "block", "scope": "trunk", "basis": "deterministic"},
    {"id": "roamer", "when": 'intl_trunk and home and own_zone_class == "mobile" and not roaming', "action": "flag"}
    | {"scope": "trunk", "basis": "deterministic"},
    {"id": "court", "when": "calls_out_7d >= 99 and not on_trunk", "action": "block", "basis": "court"},
    {"id": "rings", "when": "margin >= watch and 15 <= calls_out_1h < 90 and (cancelled_share_1h >= 0.5 or failed)"}
    | {"kinds": ["call"], "action": "block", "sources": ["switch"], "max_ttl_s": 9_000},
    {"id": "costly", "when": "risk and margin >= watch and (calls_out_5m / 2 >= 3 or calls_out_1h * 2 - 10 > 100)"}
    | {"kinds": ["call"], "action": "block", "scope": "zone", "max_ttl_s": 30_000},
    {"id": "label", "when": "margin >= watch and calls_out_1h >= 15", "action": "warn"}
    | {"kinds": ["call"], "notice": "Suspected spam from {originator}"},
    {"id": "texts", "when": "margin >= watch and (sms_in_share_24h <= 0.1 or not known(sms_in_share_24h))"}
    | {"kinds": ["sms"], "action": "block"},
    {"id": "long", "when": 'duration_s > 600 and known(ring_s) and zone_class != "mobile"', "action": "flag"},
    {"id": "victim", "when": 'cause == 21 or number_kind == "sender" and not own', "action": "flag", "on": "to"}
    | {"scope": "terminating", "service": "voice"},
    {"id": "target", "when": "margin > flag and calls_in_24h != 3", "action": "block", "on": "to"}
    | {"scope": "terminating"},
    {"id": "far", "when": "margin >= block", "action": "block", "max_ttl_s": 40_000},
    {"id": "odd", "when": "margin >= flag", "action": "flag"},
]
FEATURES = {
    "calls_out_7d": (5, 5, 5, 5, 5, 5, 5, 99),
    "calls_out_1h": (3, 15, 89, 90, 120),
    "cancelled_share_1h": (0.1, 0.5, float("nan")),
    "calls_out_5m": (2, 6),
    "sms_in_share_24h": (0.05, 0.5, float("nan")),
    "calls_in_24h": (3, 4),
}
SMALL = pack_digits(NumberKind.E164, "99971111111")
NUMBERS = (
    *(MOBILE + i for i in range(12)),
    *(FIXED + i for i in range(6)),
    SMALL,
    pack_digits(NumberKind.E164, "99951234567"),
    pack_digits(NumberKind.E164, "882123456789"),
    pack_number(NumberKind.E164, 44_2071_838_750, 7),
    pack_number(NumberKind.E164, 999_2123_4567, 7),
    pack_digits(NumberKind.SHORT, "112"),
    pack_sender("ACME", 11),
    0,
)
FLAGS = (Flag.OWN, Flag.RISK, Flag.INTL_TRUNK, Flag.ROAMING, Flag.RESTRICTED, Flag.FAILED, Flag.BEGAN)
RARE_FLAGS = (Flag.OWN_BLOCK, Flag.EMERGENCY)


def log(model: Model) -> list[Entry]:
    """Three days of a few numbers, everything that the judge looks at drawn at random."""
    chance = random.Random(SEED)
    limits = model.thresholds
    margins = (None, limits.watch - 1, limits.watch, limits.flag, limits.flag + 1e-9, limits.block)
    entries = []
    now_ms = START_MS
    for i in range(ROWS):
        now_ms += chance.choice((0, 1_000, MINUTE_MS, 2 * MINUTE_MS))
        if chance.random() < 0.01:
            text = chance.choice(("+99971234567", "+99921234569", "+99971234570", "+99971111111", "sender:ACME@11"))
            wanted = command(
                chance.choice(("release", "allow", "block")),
                text,
                scope=chance.choice(("originating", "all")),
                service=chance.choice(("voice", "sms", "all")),
                ttl_s=chance.choice((None, 7_200)),
            )
            entries.append(order(wanted, now_ms))
            continue
        flags = sum(int(flag) for flag in FLAGS if chance.random() < 0.4)
        flags |= sum(int(flag) for flag in RARE_FLAGS if chance.random() < 0.15)
        entries.append(
            Entry(
                number=chance.choice(NUMBERS),
                at_ms=now_ms,
                margin=chance.choices(margins, (6, 12, 3, 1, 1, 1))[0],
                features={name: chance.choice(values) for name, values in FEATURES.items()},
                kind=chance.choices((Kind.CALL, Kind.SMS, Kind.HEARTBEAT), (6, 3, 1))[0],
                role=chance.choices((Role.FROM, Role.TO), (3, 1))[0],
                flags=flags,
                trunk=chance.choice((0, 0, 7, 11, 3)),
                zone=chance.choice((0, 999 << 4 | ZoneClass.MOBILE, 882 << 4 | ZoneClass.SATELLITE)),
                status=chance.choices((Status.COUNTED, Status.DUPLICATE, Status.LATE), (18, 1, 1))[0],
                warm=chance.random() < 0.9,
                silent=chance.choices((0, 2, 4), (20, 1, 1))[0],
                judged=i > 50,
            )
        )
    return entries


def recorded(tmp_path: Path, model: Model, settings: Settings, warm_up: str) -> tuple[int, str]:
    """How many decisions the log gives, and their digest."""
    (tmp_path / "bad.txt").write_text("+99921234568\n+9995*\n")
    (tmp_path / "never.txt").write_text("+99971111111\n+99921234569@7\n")
    text: dict[str, Any] = {"name": "recorded", "warm_up": warm_up, "lists": {"bad": "bad.txt", "never": "never.txt"}}
    text |= {"never_block": ["never"], "rules": [LIFE | rule for rule in RULES]}
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(text))
    judge = Judge(Policy.load(tmp_path / "policy.yaml"), model, ZONES, settings)
    memory, live = Memory(), Memory()
    entries = log(model)
    chance = random.Random(SEED + 1)
    digest, count, start = sha256(), 0, 0
    names = {pack_sender("ACME", 11): "ACME"}
    while start < len(entries):
        size = chance.choice((1, 2, 5, 40, 400))
        cut = moment(entries[start : start + size], start, names=names)
        place = np.arange(start, start + len(cut.rows))
        cut.rows["cause"] = np.where(place % 5 == 0, 21, 16)
        cut.rows["duration_s"] = np.where(place % 7 == 0, UNKNOWN_DURATION, place * 37 % 1_500)
        cut.rows["ring_ds"] = np.where(place % 3 == 0, UNKNOWN_RING, 40)
        for decision in judge.judge(cut, memory, live if settings.verdict.mode == "shadow" else None):
            bare = msgspec.structs.replace(decision, score=None, reasons=(), model_version=None)
            digest.update(bare.to_json() + b"\n")
            count += 1
        start += size
    return count, digest.hexdigest()[:12]


@pytest.mark.parametrize(
    ("verdict", "warm_up", "expected"),
    [
        ({"mode": "enforce"}, "silent", (1332, "34ad0de6119b")),
        ({"mode": "enforce", "hold_out_share": 0.3, "hold_out_key": "k"}, "flag", (1421, "0b040e7713d5")),
        ({"mode": "enforce", "block_budget_per_hour": 9}, "flag", (1425, "78807d1177e8")),
        ({"mode": "flag"}, "silent", (1330, "31dbee063181")),
        ({"mode": "shadow"}, "flag", (1423, "e7dae95e0e92")),
    ],
    ids=["enforce", "hold-out", "budget", "flag", "shadow"],
)
def test_the_recorded_log_is_decided_as_before(
    tmp_path: Path, model: Model, verdict: dict[str, Any], warm_up: str, expected: tuple[int, str]
) -> None:
    """Every decision, in its order, whatever the cut."""
    assert expected == recorded(tmp_path, model, settings_with(**verdict), warm_up)
