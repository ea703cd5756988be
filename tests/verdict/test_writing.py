"""What a decision says: to whoever reads, enforces or questions it."""

from typing import Any

import numpy as np
import pytest

from detector.records import Flag, Kind, NumberKind, pack_number, pack_sender
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from tests.verdict import models
from tests.verdict.moments import Entry, moment


def test_a_decision_tells_its_reasons_evidence_and_answer(judge: Judge, model: Model) -> None:
    """With the vector of the very row that decided."""
    vector, fraud = models.samples(300)
    margins = model.margins(vector)
    worst = int(np.argmax(margins))
    assert fraud[worst]
    features = {name: float(v) for name, v in zip(model.names, vector[worst], strict=True) if not np.isnan(v)}
    (decision,) = judge.judge(moment([Entry(margin=float(margins[worst]), features=features)]), Memory())
    assert decision.score is not None
    assert decision.score.margin == margins[worst]
    assert 0 < decision.score.display <= 1
    assert decision.reasons[0].contribution > 0
    assert decision.evidence.counts["calls_out_24h"] == pytest.approx(features["calls_out_24h"], abs=1e-4)
    assert "talk_mean_24h" not in decision.evidence.counts
    assert [(p.source, p.partition, p.offset) for p in decision.evidence.records] == [("switch", 5, 1_000)]
    assert decision.except_ == ("short:112", "+99920001111")
    assert decision.redress["url"] == "https://example.net/blocked"
    assert decision.model_version == model.version


@pytest.mark.parametrize(
    ("entry", "number", "party", "point"),
    [
        ({}, "+99971234567", "own", "subscriber"),
        ({"flags": 1, "trunk": 7}, "+99971234567", "foreign", "trunk:abroad"),
        ({"flags": 1}, "+99971234567", "foreign", "gateway"),
        (
            {"number": pack_number(NumberKind.E164, 442079460000, 7), "flags": 1},
            "+442079460000@7",
            "foreign",
            "trunk:abroad",
        ),
        (
            {"number": pack_sender("ACME", 11), "flags": 1, "kind": Kind.SMS},
            "sender:ACME@11",
            "foreign",
            "account:aggregator",
        ),
        ({"number": pack_sender("Other", 600), "flags": 1, "kind": Kind.SMS}, None, "foreign", "account:600"),
    ],
)
def test_a_decision_says_whose_number_it_is_and_where_it_can_be_enforced(
    judge: Judge, block: float, entry: dict[str, Any], number: str | None, party: str, point: str
) -> None:
    """By the names that the settings give trunk groups and accounts."""
    names = {pack_sender("ACME", 11): "ACME"}
    (decision,) = judge.judge(moment([Entry(**{"margin": block} | entry)], names=names), Memory())
    assert number is None or decision.number == number
    assert (decision.party, decision.point) == (party, point)


def test_a_sender_id_keeps_its_key_when_its_text_changes(judge: Judge, flag: float, block: float) -> None:
    """A later message may write it in other case, or not bring its text at all."""
    number, memory = pack_sender("ACME", 11), Memory()
    entry: dict[str, Any] = {"number": number, "kind": Kind.SMS, "flags": 1}
    first = judge.judge(moment([Entry(margin=flag, **entry)], names={number: "Acme"}), memory)
    second = judge.judge(moment([Entry(margin=block, **entry)], first=1), memory)
    assert first[0].key() == second[0].key() == "sender:Acme@11|sms|originating"


def test_the_called_party_never_reads_a_number_that_is_withheld(judge: Judge, flag: float) -> None:
    """Otherwise the notice names it."""
    busy = {"calls_out_24h": 100.0}
    shown, withheld = (
        judge.judge(moment([Entry(margin=flag, features=busy, flags=flags)]), Memory())[0].notice
        for flags in (int(Flag.OWN), int(Flag.OWN | Flag.RESTRICTED))
    )
    assert shown == "Suspected spam call from +99971234567"
    assert withheld == "Suspected spam call from a withheld number"
