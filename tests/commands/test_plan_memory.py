"""The plan of memory: what it says is what a state that is really filled takes."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from detector.cli import main
from detector.config import ROOT, load
from detector.features.past import FORMS
from detector.features.state import State
from detector.pipeline import CHUNK_ROWS
from detector.records import ROW, Flag, Kind
from detector.service.plan import FIRST_MS, FIRST_NUMBER, People, Plan, plan
from loadtest import packed, state
from loadtest.population import FIRST_DIGITS, Population, packed_numbers

CONFIG = ROOT / "configs" / "local.yaml"
FILLED = 60_000
PARTITIONS = 12
WITHIN = 0.06
"""Of the truth: the sample alone is a few parts in a hundred off."""


def planned(people: list[People], workers: int = 1, machines: int = 1, most_numbers: int | None = None) -> Plan:
    """With the settings that ship."""
    return plan(load(CONFIG, {}), people, workers, machines, most_numbers)


@pytest.fixture(scope="module")
def truth() -> state.Measured:
    """Twelve states, filled with eight days of a population that is drawn elsewhere."""
    return state.measure(FILLED)


@pytest.fixture(scope="module")
def as_drawn() -> Plan:
    """The plan of that population, with the rates that it has."""
    population = Population(FILLED)
    rows = packed.rows(population.draw(FILLED, population.records_a_day))
    first_quiet = packed_numbers(np.array([FIRST_DIGITS + population.busy]))[0]
    busy = int((rows["number"] < first_quiet).sum())
    quiet = len(rows) - busy
    others = FILLED - population.busy
    return planned([People(population.busy, busy / population.busy), People(others, quiet / others)])


def test_the_plan_holds_against_a_state_that_is_filled(truth: state.Measured, as_drawn: Plan) -> None:
    """Records of each form and their bytes, index, buffer, and all of it."""
    assert as_drawn.numbers == sum(truth.forms.values()) == FILLED
    for form in ("quiet", "usual"):
        assert as_drawn.forms[form].numbers == pytest.approx(truth.forms[form], rel=WITHIN)
        assert as_drawn.forms[form].bytes == pytest.approx(truth.form_bytes[form], rel=WITHIN)
    assert truth.forms["wide"] == as_drawn.forms["wide"].numbers == 0
    assert as_drawn.index_bytes == 2 * truth.index_bytes  # these states grew, and were not restored
    more = truth.index_bytes / PARTITIONS
    assert as_drawn.partition_bytes == pytest.approx(truth.largest_partition_bytes + more, rel=WITHIN)
    assert as_drawn.buffer_bytes == pytest.approx(truth.buffer_bytes, rel=WITHIN)
    total = as_drawn.state_bytes + as_drawn.buffer_bytes
    assert total == pytest.approx(truth.total_bytes + truth.index_bytes, rel=WITHIN)


@pytest.mark.parametrize("numbers", [900, 5_000, 60_000, 131_000])
def test_the_index_is_planned_as_a_restart_leaves_it(numbers: int) -> None:
    """A restored table is made for twice the numbers it gets; a batch that comes may want yet more."""
    rows = np.zeros(numbers, ROW)
    rows["number"], rows["event_ms"], rows["record_id"] = FIRST_NUMBER + np.arange(numbers), FIRST_MS, 1
    rows["kind"], rows["flags"] = Kind.SMS, Flag.BEGAN
    grown = State(0, 0)
    for start in range(0, numbers, CHUNK_ROWS):
        grown.update(rows[start : start + CHUNK_ROWS])
    restored = State.from_arrays(grown.arrays())
    restored.update(np.resize(rows, CHUNK_ROWS))
    planned_bytes = planned([People(PARTITIONS * numbers, 1.0)]).index_bytes / PARTITIONS
    assert max(grown.index_bytes, planned_bytes / 2) <= restored.index_bytes <= planned_bytes


def test_a_spread_makes_some_wide_and_equal_seeds_equal_plans() -> None:
    """Rates that differ leave more numbers quiet, and a few that no longer fit the usual form."""
    alike, apart = planned([People(10_000, 11.0)]), planned([People(10_000, 11.0, 1.2)])
    assert alike.forms["wide"].numbers == 0 < apart.forms["wide"].numbers
    assert alike.forms["quiet"].numbers < apart.forms["quiet"].numbers
    assert planned([People(10_000, 11.0, 1.2)]) == apart


def test_workers_and_machines_share_the_partitions() -> None:
    """Each has a buffer, a batch and a process of its own."""
    people = [People(100_000, 11.0), People(400_000, 0.7)]
    one, six = planned(people), planned(people, workers=2, machines=3)
    assert (one.worker_partitions, six.worker_partitions) == (12, 2)
    assert one.state_bytes == six.state_bytes
    rest = one.buffer_bytes + one.batch_bytes + one.base_bytes
    assert six.worker_bytes == 2 * one.partition_bytes + rest
    assert six.machine_bytes == 2 * (six.worker_bytes + six.taking_bytes)


def test_a_limit_says_who_fits_in() -> None:
    """Below the base, somebody is evicted; above, strangers have room; never more than all wide."""
    people = [People(12_000, 11.0)]
    tight, wide = (planned(people, most_numbers=most).limit for most in (600, 5_000))
    assert tight is not None
    assert wide is not None
    assert (tight.evicted, tight.strangers) == (400, 0)
    assert (wide.evicted, wide.strangers) == (0, 4_000)
    for limit in (tight, wide):
        assert limit.flooded_bytes < limit.most_bytes
    assert wide.most_bytes >= 5_000 * FORMS["wide"].itemsize


def test_the_command_prints_its_sums(capsys: pytest.CaptureFixture[str]) -> None:
    """As a table for people, as JSON for programs: the same figures."""
    command = ["plan-memory", "--config", str(CONFIG), "--on-net", "20000", "--off-net", "80000", "--workers", "2"]
    assert main([*command, "--json", "--capacity", "9000"]) == 0
    tree = orjson.loads(capsys.readouterr().out)
    assert sum(held["numbers"] for held in tree["forms"].values()) == pytest.approx(tree["numbers"], abs=3)
    assert tree["peak_bytes"] == tree["worker_bytes"] + tree["taking_bytes"]
    assert tree["limit"]["strangers"] == 9_000 - tree["limit"]["wanted_numbers"]
    assert main([*command, "--capacity", "8000"]) == 0
    text = capsys.readouterr().out
    for form in FORMS:
        assert f"{form:<32}{tree['forms'][form]['numbers']:>14,}" in text
    assert f"{tree['machine_bytes'] / 1e6:>10,.0f}" in text
    assert "too low: 334 numbers of each partition" in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--on-net", "0", "--off-net", "0"], "--on-net, --off-net: wanted at least one number (got 0)"),
        (["--on-net", "9", "--off-net", "9", "--workers", "13"], "at most one worker for each of the 12 partitions"),
    ],
)
def test_what_makes_no_sense_is_refused(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what was wanted."""
    assert main(["plan-memory", "--config", str(CONFIG), *flags]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags", [["--on-net", "-1"], ["--on-net-rate", "0"], ["--spread", "nan"], ["--capacity", "0"]]
)
def test_a_wrong_flag_is_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By the parser, with the flag's name."""
    with pytest.raises(SystemExit) as stopped:
        main(["plan-memory", "--config", str(CONFIG), "--on-net", "1", "--off-net", "1", *flags])
    assert stopped.value.code == 2
    assert f"argument {flags[0]}: wanted" in capsys.readouterr().err


def test_a_limit_of_nobody_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The setting's path, and what it may be."""
    path = tmp_path / "bad.yaml"
    source = "{name: a, id: 1, topic: t, mapping: m}"
    path.write_text(f"home: {{country_code: '999'}}\nsources: [{source}]\ndetect: {{most_numbers: 0}}\n")
    assert main(["plan-memory", "--config", str(path), "--on-net", "1", "--off-net", "1"]) == 2
    assert f"{path}: detect.most_numbers: Expected `int` >= 1 (got 0)" in capsys.readouterr().err
