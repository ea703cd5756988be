"""`detector compile` leaves nothing to be compiled at a role's start; `tests/helm/test_image.py` runs roles on it."""

import re

import pytest

from detector.cli import main
from detector.config import ROOT


@pytest.mark.slow
def test_compiling_reaches_rows_scores_and_decisions(capsys: pytest.CaptureFixture[str]) -> None:
    """What is never reached is never compiled."""
    assert main(["compile", "--config", str(ROOT / "configs" / "local.yaml")]) == 0
    said = capsys.readouterr().out
    counts = re.fullmatch(
        r"([\d,]+) records, ([\d,]+) rows scored, ([\d,]+) decisions\n"
        r"(\d+) compiled kernels, [\d.]+ MB, in .+\n",
        said,
    )
    assert counts, said
    assert [number for number in counts.groups() if int(number.replace(",", "")) == 0] == []


def test_an_unknown_source_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is compiled for it."""
    assert main(["compile", "--source", "none", "--config", str(ROOT / "configs" / "local.yaml")]) == 2
    assert "plain, freeswitch" in capsys.readouterr().err
