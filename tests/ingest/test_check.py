"""`detector check-source`: what a mapping makes of files, in words."""

import re
from pathlib import Path

import orjson
import pytest

from detector.errors import ConfigError
from detector.ingest.check import check_source
from tests.ingest.tools import FIXTURES, call, settings_of


def check(name: str, *files: str) -> list[str]:
    """The lines for fixtures."""
    return list(check_source(settings_of(), name, [str(FIXTURES / file) for file in files]))


def account(lines: list[str]) -> list[str]:
    """What was counted."""
    return lines[lines.index("counted, by originator and recipient:") + 1 :]


def test_two_switches_report_one_call_and_it_counts_once_a_side() -> None:
    """Given the files of several elements, the account has one call."""
    lines = check("plain", "msc_originating.ndjson", "msc_terminating.ndjson")
    assert account(lines) == [
        "  call +999700000001 -> +999700000002",
        "    FROM: began 1, answered 1, ended 1, talk 60 s",
        "    TO: began 1, answered 1, ended 1, talk 60 s",
    ]
    assert lines[1] == (
        "  1: call  FROM  +999700000001  to +999700000002  2026-11-02T12:00:00.000Z  BEGAN+ANSWERED+ENDED+OWN"
        "  talk 60 s  zone 999 mobile  cause 16"
    )


def test_retries_are_shown_and_not_counted() -> None:
    """Each message once a side; header and receipt are left out and counted as such."""
    lines = check("smsc", "smsc.csv")
    assert account(lines) == [
        "  sms +999700000001 -> +999700000002",
        "    FROM: began 1",
        "    TO: began 1; 1 repeated, not counted",
        "  sms sender:ACME@4 -> +999700000002",
        "    FROM: began 1",
        "    TO: began 1",
        "  sms short:61234 -> +999700000003",
        "    FROM: began 1",
        "    TO: began 1",
    ]
    assert "  9 records: 7 rows, 0 rejected, skipped: header 1, receipt 1" in lines


def test_partial_records_add_up() -> None:
    """Three hours and two seconds, with one partial that came twice."""
    assert account(check("plain", "partials.ndjson"))[1:] == [
        "    FROM: began 1, answered 1, ended 1, talk 10802 s; 1 repeated, not counted",
        "    TO: began 1, answered 1, ended 1, talk 10802 s; 1 repeated, not counted",
    ]


def test_rejected_record_is_shown_with_its_reason() -> None:
    """Kamailio's records are not our plain form."""
    line = check("plain", "kamailio.ndjson")[1]
    assert line == "  1: rejected missing_field: type: wanted one of call, sms (got none)"


def test_file_of_another_element_is_read_with_its_own_mapping() -> None:
    """`smsc=FILE` beside files of the plain form."""
    lines = list(
        check_source(settings_of(), "plain", [str(FIXTURES / "phases.ndjson"), f"smsc={FIXTURES / 'smsc.csv'}"])
    )
    assert sum(line.startswith("  call ") for line in account(lines)) == 1
    assert sum(line.startswith("  sms ") for line in account(lines)) == 3


def test_unknown_source_and_missing_file_are_named() -> None:
    """The command ends with a message that says what there is."""
    with pytest.raises(ConfigError, match=r"sources: wanted one of asterisk, .* \(got 'nokia'\)"):
        check("nokia", "smsc.csv")
    with pytest.raises(ConfigError, match=r"nowhere.csv: wanted a readable file"):
        check("smsc", "nowhere.csv")


def test_trunk_groups_that_are_not_declared_are_said() -> None:
    """A misspelt interconnect trunk would make everybody who arrives there one of ours."""
    declared = [line for line in check("plain", "msc_originating.ndjson") if "NOT DECLARED" in line]
    kamailio = [line for line in check("kamailio", "kamailio.ndjson") if "NOT DECLARED" in line]
    assert declared == []
    assert len(kamailio) == 1


def test_trunk_groups_that_are_not_declared_are_named_as_the_switch_names_them(tmp_path: Path) -> None:
    """A name is what has to be written under `trunks`; the number that stands in rows tells nobody which it was."""
    path = tmp_path / "calls.ndjson"
    trunks = ["POI-A", "rival", "POI-B"]
    path.write_bytes(b"\n".join(orjson.dumps(call(id=trunk, trunk=trunk)) for trunk in trunks))
    (line,) = [line for line in check_source(settings_of(), "plain", [str(path)]) if "NOT DECLARED" in line]
    assert re.fullmatch(r"  NOT DECLARED in the source's trunks: (POI-[AB] \(\d+\)(, )?){2}\. What .*", line), line
    assert line.count("POI-A") == line.count("POI-B") == 1
