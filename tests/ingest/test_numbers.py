"""One spelling of every number, whatever way a switch wrote it."""

from unittest.mock import patch

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.config import Home
from detector.errors import ConfigError
from detector.ingest import columns
from detector.ingest.columns import sip_user
from detector.ingest.mapping import Numbers
from detector.ingest.numbers import BAD, UNPARSABLE, WITHHELD, NumberPlan
from detector.records import number_text
from tests.ingest.tools import call, raw_of, read, reader_of, told

HOME = Home(country_code="999")
LOCAL = Numbers(short="local")


def parsed(text: str, numbers: Numbers = LOCAL, region: str = "", home: Home = HOME) -> str:
    """The number of a text as it is written, or what it is instead."""
    found = NumberPlan(home, numbers, region).parse(text)
    states = {WITHHELD: "withheld", UNPARSABLE: "unparsable", BAD: "bad"}
    return states.get(found.state) or number_text(found.number, found.name)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+999700000001", "+999700000001"),
        (" +999 7000-00001 ", "+999700000001"),
        ("00999700000001", "+999700000001"),
        ("999700000001", "+999700000001"),
        ("0700000001", "+999700000001"),
        ("\uff0b999700000001", "+999700000001"),
        ("1001", "local:1001"),
        ("0012", "local:0012"),
        ("112", "short:112"),
        ("+999112", "short:112"),
        ("anonymous", "withheld"),
        ("Restricted", "withheld"),
        ("", "withheld"),
        ("ACME", "sender:ACME"),
        ("O'Neil & Co", "sender:O'Neil & Co"),
        ("*97", "sender:*97"),
        ("Банк", "sender:Банк"),
        ("???", "unparsable"),
        ("a\x00b", "unparsable"),
        ("A" * 65, "unparsable"),
        ("A" * 200, "unparsable"),
        ("+1", "bad"),
        ("+0123456789", "bad"),
        ("+" + "9" * 16, "bad"),
        ("9" * 40, "bad"),
        ("9" * 400, "bad"),
    ],
)
def test_text_becomes_a_number(text: str, number: str) -> None:
    """In a network without a numbering plan of phonenumbers', by calling code and trunk 0 alone."""
    assert parsed(text) == number


@pytest.mark.parametrize(
    ("text", "bare", "number"),
    [
        ("07700 900123", "national", "+447700900123"),
        ("7700900123", "national", "+447700900123"),
        ("07700900123", "international", "+447700900123"),
        ("5511999990000", "international", "+5511999990000"),
        ("00447700900123", "national", "+447700900123"),
    ],
)
def test_national_number_takes_the_plan_of_its_region(text: str, bare: str, number: str) -> None:
    """Under `international` only digits that begin with 0 are national."""
    assert parsed(text, Numbers(bare=bare), "GB") == number  # type: ignore[arg-type]


def test_number_of_a_trunk_group_takes_that_groups_region() -> None:
    """A trunk group to London writes numbers as London does, beside one that does not."""
    got = read("plain", call(to="07700900123", trunk="london"), call(to="0700000002"))
    assert {row[3] for row in told(got.rows) if row[1] == "FROM"} == {"+447700900123", "+999700000002"}


def test_plain_e164_never_reaches_phonenumbers() -> None:
    """It would cost a hundred times more."""
    with patch.object(phonenumbers, "parse", side_effect=AssertionError):
        assert parsed("+447700900123", region="GB") == "+447700900123"


def test_prefix_and_zeros_make_a_number_of_an_index() -> None:
    """Participant 7 of a study is +999 7000 0007."""
    numbers = Numbers(prefix="+99970000", pad=4)
    assert parsed("7", numbers) == "+999700000007"
    assert parsed("anonymous", numbers) == "withheld"


def test_unknown_region_stops_at_start() -> None:
    """phonenumbers would take none of its numbers."""
    with pytest.raises(ConfigError, match=r"region: wanted an ISO 3166 region .* \(got 'XX'\)"):
        reader_of("plain", region="XX")


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("sip:+999700000001@example.org", "+999700000001"),
        ('"Ann" <sip:1001@192.0.2.1;transport=udp>;tag=x', "1001"),
        ("tel:+999-7000-00001;phone-context=x", "+999-7000-00001"),
        ("sips:%2B999700000001@h", "+999700000001"),
        ("1001@192.0.2.1", "1001"),
        ("1001", "1001"),
        ("<sip:anonymous@anonymous.invalid>", "anonymous"),
    ],
)
def test_user_part_of_a_sip_uri(text: str, user: str) -> None:
    """With a display name, parameters, escapes, or none of them."""
    assert sip_user(text) == user


@given(st.text(max_size=140), st.sampled_from(["", "GB", "US"]), st.sampled_from(["national", "international"]))
def test_any_text_is_a_number_or_is_not(text: str, region: str, bare: str) -> None:
    """Parsing is total, and what it makes of a text it makes of what it wrote."""
    plan = NumberPlan(HOME, Numbers(bare=bare, short="local"), region)  # type: ignore[arg-type]
    found = plan.parse(text)
    written = number_text(found.number)
    if written.startswith("+"):
        assert plan.parse(written).number == found.number


def test_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no more room for what was parsed, it is parsed again."""
    values = [str(call(id=str(i), to=f"+9997000{i:05d}")).replace("'", '"').encode() for i in range(40)]
    whole = reader_of("plain").read(raw_of(values)).rows.tobytes()
    monkeypatch.setattr(columns, "MEMO_MOST", 5)
    monkeypatch.setattr("detector.ingest.numbers.MEMO_MOST", 5)
    reader = reader_of("plain")
    parts = [reader.read(raw_of(values[i : i + 8], first=i)).rows.tobytes() for i in range(0, 40, 8)]
    assert whole == b"".join(parts)
