"""Zones by longest prefix, and the table that ships."""

from pathlib import Path

import phonenumbers
import pytest

from detector.config import ROOT
from detector.errors import ConfigError
from detector.ingest.zones import ZoneClass, ZoneTable, calling_code, zone, zone_class, zone_country
from detector.records import Flag
from tests.ingest.tools import call, flags_of, read

ZONES = ZoneTable.load(ROOT / "configs" / "zones.csv")


@pytest.mark.parametrize(
    ("digits", "country", "kind"),
    [
        ("999700000001", 999, ZoneClass.MOBILE),
        ("999200000001", 999, ZoneClass.GEOGRAPHIC),
        ("999500000001", 999, ZoneClass.UNALLOCATED),
        ("442079460123", 44, ZoneClass.GEOGRAPHIC),
        ("447700900123", 44, ZoneClass.MOBILE),
        ("449011234567", 44, ZoneClass.PREMIUM),
        ("12125550100", 1, ZoneClass.GEOGRAPHIC),
        ("18765550100", 1, ZoneClass.HIGH_RISK),
        ("870773000000", 870, ZoneClass.SATELLITE),
        ("881600000000", 881, ZoneClass.SATELLITE),
        ("882300000000", 882, ZoneClass.SATELLITE),
        ("883100000000", 883, ZoneClass.SATELLITE),
        ("80012345678", 800, ZoneClass.TOLL_FREE),
        ("979123456789", 979, ZoneClass.PREMIUM),
        ("289000000000", 289, ZoneClass.UNKNOWN),
    ],
)
def test_number_lies_in_the_zone_of_its_longest_prefix(digits: str, country: int, kind: ZoneClass) -> None:
    """The calling code and the class, and back again from the 16 bits."""
    value = ZONES.zone_of(digits)
    assert value == zone(country, kind) < 1 << 16
    assert (zone_country(value), zone_class(value)) == (country, kind)


def test_calling_codes_are_those_of_the_world() -> None:
    """One, two or three digits, told from the digits alone; and none is missing in the table."""
    for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        assert calling_code(f"{code}2345678") == str(code)
        assert ZONES.class_of(f"{code}") is not ZoneClass.UNKNOWN


@pytest.mark.parametrize(
    ("to", "flags"),
    [
        ("+999700000002", Flag(0)),
        ("+999900000002", Flag.RISK),
        ("+447700900123", Flag.INTERNATIONAL),
        ("+881600000000", Flag.INTERNATIONAL | Flag.RISK),
        ("611", Flag(0)),
    ],
)
def test_destination_outside_or_risky_is_flagged(to: str, flags: Flag) -> None:
    """Premium, satellite and high-risk zones are a risk wherever they lie."""
    assert flags_of(read("plain", call(to=to))) & (Flag.INTERNATIONAL | Flag.RISK) == flags


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", r"line 1: wanted the header prefix,class,name \(got 'a,b'\)"),
        ("prefix,class,name\n44,GEOGRAPHIC\n", r"line 2: wanted 3 columns \(got 2\)"),
        ("prefix,class,name\n+44,GEOGRAPHIC,x\n", r"line 2: prefix: wanted 1 to 15 digits \(got '\+44'\)"),
        ("prefix,class,name\n44,BIG,x\n", r"line 2: class: wanted one of UNKNOWN, .* \(got 'BIG'\)"),
        ("prefix,class,name\n44,MOBILE,x\n44,MOBILE,y\n", r"line 3: prefix: wanted each prefix once \(got 44 again\)"),
    ],
)
def test_bad_table_stops_at_start(tmp_path: Path, text: str, message: str) -> None:
    """With file, line, wanted and got."""
    path = tmp_path / "zones.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        ZoneTable.load(path)
