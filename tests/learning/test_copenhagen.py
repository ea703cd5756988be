"""Real messages, none of them fraud: the shipped model must block nobody who wrote them."""

import csv
from pathlib import Path

import numpy as np
import orjson
import pytest

from detector.config import ROOT
from detector.features.state import State
from detector.ingest.rows import Raw, open_source
from detector.records import Role
from detector.verdict.model import Model
from tests.learning.settings import learning_settings

MESSAGES = ROOT.parent / "shared" / "real" / "copenhagen_sms.csv"
BUNDLE = Path(ROOT, "models", "default")
MONDAY_MS = 1_793_577_600_000


@pytest.mark.skipif(not MESSAGES.exists(), reason="the Copenhagen messages are not beside this checkout")
def test_nobody_who_wrote_real_messages_reaches_the_block_threshold() -> None:
    """555 people, 28 days, 24,333 messages; up to 131 a day, to six people at most."""
    model = Model.load(BUNDLE)
    with MESSAGES.open(encoding="utf-8") as file:
        lines = sorted(csv.reader(list(file)[1:]), key=lambda line: int(line[2]))
    values = [
        orjson.dumps(
            {
                "id": f"m-{i}",
                "type": "sms",
                "from": f"+9997{int(source):08d}",
                "to": f"+9997{int(target):08d}",
                "time": MONDAY_MS + 1_000 * int(second),
            }
        )
        for i, (source, target, second) in enumerate(lines)
    ]
    settings = learning_settings()
    size = len(values)
    ingested = open_source(settings, settings.sources[0]).read(Raw(values, [0] * size, range(size), [0] * size))
    assert not ingested.rejected
    rows = ingested.rows
    updated = State(2_048, 0).update(rows, rows["role"] == Role.FROM, model.activity_floor)
    margins = model.margins(updated.vectors)
    assert len(margins) > 5_000
    assert margins.max() < model.thresholds.block
    flagged = np.unique(rows["number"][updated.scored[margins >= model.thresholds.flag]])
    assert len(flagged) <= 5
