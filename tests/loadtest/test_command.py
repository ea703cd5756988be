"""How commands end: what is printed, what is written, and the exit code."""

import json
import math
from pathlib import Path

import pytest

from loadtest.command import conclude


@pytest.mark.parametrize(("unmet", "code"), [([], 0), (["p99 is 120 ms"], 1)])
def test_a_command_prints_and_writes_and_fails_only_where_something_is_unmet(
    unmet: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table is on stdout, the figures are in the file, also where a bound is not kept."""
    path = tmp_path / "figures.json"
    assert conclude(path, "| a |\n", {"again_s": math.inf, "unmet": unmet}, unmet) == code
    assert capsys.readouterr().out == "| a |\n"
    assert json.loads(path.read_text(encoding="utf-8")) == {"again_s": None, "unmet": unmet}
