"""Times and lengths, however they are written."""

import math
from typing import Any

import pytest

from detector.ingest.columns import BAD, Memo, SpanColumn, TimeColumn, text_of
from detector.ingest.mapping import Span, Time

NOON_MS = 1_793_620_800_000


@pytest.mark.parametrize(
    ("time", "raw", "ms"),
    [
        (Time(), NOON_MS, NOON_MS),
        (Time(), str(NOON_MS), NOON_MS),
        (Time(unit="s"), 1793620800.25, NOON_MS + 250),
        (Time(unit="s"), "1793620800", NOON_MS),
        (Time(unit="us"), "1793620800123456", NOON_MS + 123),
        (Time(unit="us"), 1793620800123999, NOON_MS + 123),
        (Time(unit="s", base_ms=NOON_MS), "134", NOON_MS + 134_000),
        (Time(), "", math.nan),
        (Time(), None, math.nan),
        (Time(), 0, 0),
        (Time(zero="is_absent"), 0, math.nan),
        (Time(zero="is_absent"), "0", math.nan),
        (Time(), "soon", BAD),
        (Time(), "1_000", BAD),
        (Time(), "inf", BAD),
        (Time(), 10**400, BAD),
        (Time(format="iso"), "2026-11-02T12:00:00Z", NOON_MS),
        (Time(format="iso"), "2026-11-02T14:00:00.5+02:00", NOON_MS + 500),
        (Time(format="iso"), "2026-11-02 13:00:00", NOON_MS),
        (Time(format="iso"), "2026-02-30 13:00:00", BAD),
        (Time(format="%d.%m.%Y %H:%M"), "02.11.2026 13:00", NOON_MS),
        (Time(format="%Y%m%d%H%M%S", zone="America/New_York"), "20261102070000", NOON_MS),
        (Time(format="%Y%m%d%H%M%S%z"), "20261102120000+0000", NOON_MS),
    ],
)
def test_time_is_read_in_its_unit_format_and_zone(time: Time, raw: Any, ms: float) -> None:
    """The source lies one hour east of Greenwich; alone or beside texts, a value means the same."""
    read = TimeColumn(time, False, 60)
    for column in ([raw], [raw, "x"]):
        assert read(column)[0] == pytest.approx(ms, abs=0, nan_ok=True)


@pytest.mark.parametrize(
    ("span", "raw", "seconds"),
    [
        (Span(), 12, 12.0),
        (Span(), "12.5", 12.5),
        (Span(unit="ms"), 1500, 1.5),
        (Span(unit="us"), "2000000", 2.0),
        (Span(), None, math.nan),
        (Span(), "1:30", BAD),
        (Span(regex="^([0-9]+) s$"), "90 s", 90.0),
    ],
)
def test_length_is_read_in_its_unit(span: Span, raw: Any, seconds: float) -> None:
    """In seconds."""
    assert SpanColumn(span, False)([raw])[0] == pytest.approx(seconds, nan_ok=True)


def test_equal_values_give_equal_texts() -> None:
    """Memos would else answer by what they met first."""
    assert text_of(1) == text_of(1.0) == "1"
    assert text_of(10**5000) == "9" * 41
    assert text_of(None) is None


@pytest.mark.parametrize(
    "value", ["x" * 129, 10**4_000, -(10**4_000), 10**40], ids=["text", "huge", "negative", "long"]
)
def test_what_is_too_long_to_be_of_use_is_not_remembered(value: Any) -> None:
    """JSON integers have up to 4,300 digits: a memo of 2^18 such would hold half a gigabyte."""
    memo = Memo(text_of)
    assert memo[value] == text_of(value)
    assert memo["short"] == "short"
    assert list(memo) == ["short"]
