"""Label files: three formats, one meaning, and errors that say where."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import ConfigError
from detector.learning.labelfile import NumberLabel, read_labels, write_labels
from detector.records import NumberKind, pack_digits
from tests.strategies import NUMBERS

MOST_MS = 4_102_444_800_000

SPANS = st.tuples(st.integers(0, MOST_MS), st.none() | st.integers(1, MOST_MS))
WORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, categories=("L", "N", "P")), min_size=1, max_size=8
)
DRAWS = st.none() | st.from_regex(r"\A[0-9]{1,13}-[0-9]{1,13}-[0-9a-f]{1,8}\Z")
LABELS = st.builds(
    lambda number, fraud, span, known, source, kind, confidence, probability, campaign, drawn, draw: NumberLabel(
        number=number,
        fraud=fraud,
        active_from_ms=span[0],
        active_until_ms=None if span[1] is None else span[0] + span[1],
        known_at_ms=known,
        source=source,
        type=kind,
        confidence=confidence,
        probability=probability,
        campaign=campaign,
        drawn_ms=span[0] if drawn else None,
        draw=draw if drawn else None,
    ),
    st.sampled_from(NUMBERS),
    st.booleans(),
    SPANS,
    st.integers(0, MOST_MS),
    WORDS,
    st.none() | WORDS,
    st.floats(0, 1),
    st.floats(2.0**-20, 1),
    st.none() | WORDS,
    st.booleans(),
    DRAWS,
)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@given(labels=st.lists(LABELS, max_size=5))
def test_labels_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, ending: str, labels: list[NumberLabel]
) -> None:
    """Every format keeps every field, the absent ones absent."""
    path = tmp_path_factory.mktemp("labels") / f"labels.{ending}"
    write_labels(path, labels)
    assert read_labels([path]) == labels


LINE = "+999700000001,fraud,100,200,150,analyst"
HEAD = "number,label,active_from_ms,active_until_ms,known_at_ms,source"


def csv_file(tmp_path: Path, *lines: str, head: str = HEAD) -> Path:
    """A file as an analyst's spreadsheet writes it."""
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([head, *lines, ""]), encoding="utf-8-sig")
    return path


def test_a_spreadsheet_may_leave_out_what_has_a_default_and_have_columns_of_its_own(tmp_path: Path) -> None:
    """Only what no default can stand for is required; a byte order mark is no part of the first name."""
    path = csv_file(tmp_path, "+999700000001,fraud,100,,150,analyst,see ticket 7", head=f"{HEAD},notes")
    (label,) = read_labels([path])
    number = pack_digits(NumberKind.E164, "999700000001")
    assert label == NumberLabel(number, True, 100, None, 150, "analyst")
    assert (label.confidence, label.probability) == (1.0, 1.0)


def test_a_parquet_file_may_hold_timestamps(tmp_path: Path) -> None:
    """pandas writes moments as nanoseconds: they become UTC milliseconds."""
    moments = pa.array([1_000_000_000_123_456_789], pa.timestamp("ns", tz="UTC"))
    columns = {
        "number": ["+999700000001"],
        "label": ["honest"],
        "active_from_ms": moments,
        "known_at_ms": moments,
        "source": ["audit"],
        "probability": [0.25],
    }
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    (label,) = read_labels([tmp_path / "labels.parquet"])
    assert (label.active_from_ms, label.known_at_ms) == (1_000_000_000_123, 1_000_000_000_123)
    assert (label.fraud, label.active_until_ms, label.probability) == (False, None, 0.25)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("999700000001,fraud,100,200,150,analyst", "line 2: number: wanted +E164"),
        ("+999700000001,guilty,100,200,150,analyst", "line 2: label: Invalid enum value 'guilty' (got 'guilty')"),
        ("+999700000001,fraud,soon,200,150,analyst", "line 2: active_from_ms: Expected `int`, got `str` (got 'soon')"),
        (
            "+999700000001,fraud,100,100,150,analyst",
            "line 2: active_until_ms: wanted a moment after active_from_ms 100",
        ),
        ("+999700000001,fraud,100,200,,analyst", "line 2: Object missing required field `known_at_ms`"),
        ("+999700000001,fraud,100,200,150,", "line 2: Object missing required field `source`"),
    ],
)
def test_a_bad_line_is_named_with_what_was_wanted(tmp_path: Path, line: str, said: str) -> None:
    """A label that is not understood must not be lost in silence: the command stops."""
    with pytest.raises(ConfigError) as error:
        read_labels([csv_file(tmp_path, line)])
    assert said in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "labels.csv"))


def test_a_share_outside_its_bounds_is_refused(tmp_path: Path) -> None:
    """A probability of 0 could not have drawn the number, and would weigh without limit."""
    with pytest.raises(ConfigError, match="probability: Expected `float` > 0"):
        read_labels([csv_file(tmp_path, f"{LINE},0", head=f"{HEAD},probability")])
    with pytest.raises(ConfigError, match="confidence: Expected `float` <= 1"):
        read_labels([csv_file(tmp_path, f"{LINE},1.5", head=f"{HEAD},confidence")])


def test_only_files_of_audits_say_what_was_drawn(tmp_path: Path) -> None:
    """Other files are as they were."""
    label = NumberLabel(NUMBERS[0], True, 100, 200, 150, "analyst")
    path = tmp_path / "labels.csv"
    write_labels(path, [label])
    assert path.read_text().splitlines()[0].endswith(",campaign")
    write_labels(path, [label, replace(label, source="random_audit", drawn_ms=100, draw="0-300-ab12")])
    assert path.read_text().splitlines()[0].endswith(",campaign,drawn_ms,draw")


def test_a_day_that_was_drawn_is_one_of_which_the_label_speaks(tmp_path: Path) -> None:
    """What lies elsewhere cannot be what the analyst was asked; a draw without its day says nothing."""
    day_ms = 86_400_000
    head = f"{HEAD},drawn_ms,draw"

    def line(drawn_ms: object, draw: str = "0-99-ab", until: object = "") -> str:
        return f"+999700000001,fraud,{2 * day_ms},{until},150,random_audit,{drawn_ms},{draw}"

    (label,) = read_labels([csv_file(tmp_path, line(2 * day_ms), head=head)])
    assert (label.drawn_ms, label.draw) == (2 * day_ms, "0-99-ab")
    assert [label.drawn_at(ms) for ms in (2 * day_ms - 1, 2 * day_ms, 3 * day_ms - 1, 3 * day_ms)] == [
        *(False, True, True, False)
    ]
    for wrong, said in (
        (line(day_ms), "drawn_ms: wanted a day of which the label speaks"),
        (line(4 * day_ms, until=4 * day_ms), "drawn_ms: wanted a day of which the label speaks"),
        (line(""), "drawn_ms: wanted the day that was drawn, for there is a draw (got none)"),
        (line(2 * day_ms, "week 7"), "draw: Expected `str` matching regex"),
    ):
        with pytest.raises(ConfigError) as error:
            read_labels([csv_file(tmp_path, wrong, head=head)])
        assert said in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, of an ending that says nothing, not JSON, not parquet."""
    with pytest.raises(ConfigError, match="wanted a readable file"):
        read_labels([tmp_path / "none.csv"])
    with pytest.raises(ConfigError, match=r"wanted a file of labels that ends in .* \(got .xlsx\)"):
        read_labels([tmp_path / "labels.xlsx"])
    with pytest.raises(ConfigError, match=r"wanted a file of labels that ends in .* \(got no ending\)"):
        write_labels(tmp_path / "labels", [])
    lines = tmp_path / "labels.jsonl"
    lines.write_text('\n{"number": \n')
    with pytest.raises(ConfigError, match="line 2: wanted a JSON object"):
        read_labels([lines])
    lines.write_text("[1]\n")
    with pytest.raises(ConfigError, match=r"line 1: wanted a JSON object \(got list\)"):
        read_labels([lines])
    (tmp_path / "labels.parquet").write_text("PAR")
    with pytest.raises(ConfigError, match="wanted a file of labels"):
        read_labels([tmp_path / "labels.parquet"])


def test_a_labels_own_moment_is_known_and_still_holds() -> None:
    """
    from |======= active =======| until
              known ^                        -> when it was known
                                   known ^   -> the last moment of the activity
    known ^                                  -> the first
    """
    number = NUMBERS[0]
    assert NumberLabel(number, True, 100, 200, 150, "analyst").moment_ms == 150
    assert NumberLabel(number, True, 100, 200, 500, "analyst").moment_ms == 199
    assert NumberLabel(number, True, 100, None, 500, "analyst").moment_ms == 500
    assert NumberLabel(number, True, 100, 200, 50, "analyst").moment_ms == 100


def test_a_label_speaks_of_a_half_open_span() -> None:
    """Until is exclusive, and none is for ever."""
    label = NumberLabel(NUMBERS[0], True, 100, 200, 150, "analyst")
    assert [label.covers(ms) for ms in (99, 100, 199, 200)] == [False, True, True, False]
    assert NumberLabel(NUMBERS[0], True, 100, None, 150, "analyst").covers(MOST_MS)
