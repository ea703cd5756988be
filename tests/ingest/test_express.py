"""The express way: whatever comes in, it gives what the general way gives, and it takes what switches really write."""

import csv
import io
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.ingest import express
from detector.ingest.codec import types_by_path
from detector.ingest.jsonscan import MOST_MET
from detector.ingest.mapping import Mapping, load_mapping
from detector.ingest.rows import Ingested, Raw, SourceReader
from loadtest.mutations import Mutator
from loadtest.subjects import Records, subjects
from tests.ingest.test_mappings import JSON, VALUES, examples, put
from tests.ingest.tools import MAPPINGS, NOON_MS, TRUNKS, call, raw_of, reader_of, sms

PLAIN = st.sampled_from(
    [
        *("+999700000001", "+999200000002", "+447700900123", "447700900123", "00447700900123", "%2B447700900123"),
        *("+1", "+12345678", "+99911", "+999112", "911", "0044", "07700900123", "+0447700900123", "+44770090012345"),
        *(
            "sip:+999700000001@example.org",
            '"A" <sip:1001@pbx>',
            "tel:+447700900123",
            "1001",
            "ACME",
            "acme",
            "Acme%20",
        ),
        *(
            "",
            "0",
            "007",
            "16",
            "487",
            "65535",
            "65536",
            "transit",
            "rival",
            "london",
            "bank",
            "elsewhere",
            "1",
            "true",
        ),
        *(
            str(NOON_MS),
            str(NOON_MS * 1000),
            str(NOON_MS // 1000),
            "12.5",
            "12.",
            ".5",
            "1e3",
            " 7",
            "-7",
            "0.1",
            "59.995",
        ),
        *("2026-11-02 12:00:00", "2026-11-02T11:59:59Z", "2026-11-02T12:00:00.123+02:00", "2026-02-29 12:00:00"),
        *("2026-11-02 12:00:00.1", "2026-11-02T12:00:00.123456-11:30", "20261102T120000", "2026-11-02", "x" * 70),
        *(
            NOON_MS,
            NOON_MS - 60_000,
            NOON_MS // 1000,
            NOON_MS * 1000,
            0,
            1,
            16,
            7.25,
            0.1,
            59.995,
            1e3,
            True,
            False,
            None,
        ),
    ]
)
"""Values as they are written by those who mean well, and a little beyond."""


def same(reader: SourceReader, raw: Raw) -> Ingested:
    """Both ways give the same, down to the details of rejections."""
    got, wanted = reader.read(raw), reader.read_generally(raw)
    assert got.rows.tobytes() == wanted.rows.tobytes()
    assert got.names == wanted.names
    assert got.rejected == wanted.rejected
    assert (got.records, got.skipped) == (wanted.records, wanted.skipped)
    return got


def odd(reader: SourceReader, values: list[bytes]) -> list[int]:
    """The messages that the express way leaves to the general one."""
    assert reader.express is not None
    nothing = np.zeros(len(values), np.int64)
    found: list[int] = reader.express.read(values, nothing, nothing, nothing).odd.tolist()
    return found


@cache
def readers(path: Path) -> tuple[SourceReader, ...]:
    """With trunk groups of other regions and without, and one that refuses the future: what they remember must not
    matter."""
    homely = {name: trunk for name, trunk in TRUNKS.items() if not trunk.region}
    return (
        reader_of(path.stem),
        reader_of(path.stem, trunks=homely, utc_offset_minutes=-210),
        reader_of(path.stem, max_future_s=0, home={"region": "GB", "own_prefixes": ("9997", "44770090")}),
    )


def cells(example: bytes, delimiter: str) -> list[str]:
    """The cells of a line."""
    return next(csv.reader([example.decode()], delimiter=delimiter, skipinitialspace=True))


@st.composite
def messages(draw: Any, mapping: Mapping, good: list[bytes]) -> list[bytes]:
    """Examples of a source with some of its own fields replaced, by values that mean well for the most part."""
    found = []
    values = PLAIN | VALUES
    for example in draw(st.lists(st.sampled_from(good), min_size=1, max_size=12)):
        if mapping.codec.format == "csv":
            row = cells(example, mapping.codec.delimiter)
            for at in draw(st.lists(st.integers(0, len(row) - 1), max_size=3)):
                row[at] = str(draw(values))
            out = io.StringIO()
            quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
            ending = draw(st.sampled_from(["", "\n", "\r\n"]))
            csv.writer(out, delimiter=mapping.codec.delimiter, quoting=quoting, lineterminator=ending).writerow(row)
            found.append(out.getvalue().encode("utf-8", "surrogatepass"))
        else:
            record = json.loads(example)
            for at in draw(st.lists(st.sampled_from(sorted(types_by_path(mapping))), max_size=3)):
                put(record, at, draw(values | JSON))
            if draw(st.booleans()):
                record["unasked"] = draw(JSON)
            if draw(st.booleans()):
                record = dict(draw(st.permutations(list(record.items()))))
            text = json.dumps(record, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
            found.append(text.encode("utf-8", "surrogatepass"))
    return found


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: path.stem)
class TestEveryMapping:
    """Laws that hold for each mapping of the project."""

    @given(data=st.data())
    @settings(max_examples=100)
    def test_both_ways_give_the_same(self, path: Path, data: Any) -> None:
        """Rows, names, rejections with their details, counts."""
        values = data.draw(messages(load_mapping(path), examples(path)))
        published_ms = data.draw(st.sampled_from([NOON_MS, NOON_MS - 30_000]))
        for reader in readers(path):
            same(reader, raw_of(values, published_ms=published_ms))

    def test_messages_of_real_switches_are_not_odd(self, path: Path) -> None:
        """But for lines that name the columns: else the express way would be of no use."""
        values = examples(path)
        header = list(load_mapping(path).codec.columns)
        lines = load_mapping(path).codec.format == "csv"
        titles = [i for i, value in enumerate(values) if lines and cells(value, ",") == header]
        assert odd(reader_of(path.stem), values) == titles


@pytest.mark.parametrize("name", [subject.name for subject in subjects() if isinstance(subject, Records)])
def test_both_ways_give_the_same_for_what_the_fuzz_breaks(name: str) -> None:
    """Mutations of every mapping, with its records one by one, a line each and in lists."""
    (subject,) = (subject for subject in subjects() if subject.name == name)
    assert isinstance(subject, Records)
    mutator = Mutator(17)
    for _ in range(8):
        same(subject.reader, raw_of([subject.mutated(mutator) for _ in range(250)]))


@pytest.mark.parametrize("records", [1, 2, 3, 1_000])
def test_the_size_of_a_chunk_does_not_matter(records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does where odd messages and sender ids of several spellings stand in it."""
    monkeypatch.setattr(express, "CHUNK_RECORDS", records)
    values = [
        *(
            json.dumps(sms(id=f"m-{i}", from_=name, account="bank")).encode()
            for i, name in enumerate(["ACME", "acme"] * 3)
        ),
        json.dumps(sms(id="odd", from_="\N{LATIN CAPITAL LETTER A WITH DIAERESIS}CME", account="bank")).encode(),
        b"{",
        json.dumps(sms(id="odder", from_="Acm\u0065", account="bank", unasked="\u00e4")).encode(),
        *(json.dumps(call(id=f"c-{i}")).encode() for i in range(5)),
    ]
    for turn in (values, values[::-1]):
        same(reader_of("plain"), raw_of(turn))


def test_a_full_table_of_texts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room is read the general way, and the next chunk begins afresh."""
    monkeypatch.setattr(express, "WORDS_BITS", 7)
    monkeypatch.setattr(express, "NUMBERS_BITS", 7)
    monkeypatch.setattr(express, "CHUNK_RECORDS", 200)
    values = [json.dumps(sms(id=f"m-{i}", from_=f"SENDER{i}", account=f"account {i}")).encode() for i in range(900)]
    reader = reader_of("plain")
    for _ in range(2):
        same(reader, raw_of(values))
    assert 0 < len(odd(reader, values)) < 900


def test_keys_are_told_apart_however_long_and_alike_they_are() -> None:
    """Of one length, with the same first and last eight bytes; or one the beginning of the other."""
    record = call(id=None)
    alike = ["id", "i", "idd", "aaaaaaaa" + "bbbb" + "cccccccc", "aaaaaaaa" + "dddd" + "cccccccc", ""]
    for key in alike:
        got = same(reader_of("plain"), raw_of([json.dumps({key: "c-1"} | record).encode()]))
        assert len(got.rows) == (2 if key == "id" else 0), key


@given(
    st.lists(
        st.tuples(st.permutations(["x", *call()]), st.sets(st.sampled_from(["x", *call()]), max_size=3), st.booleans()),
        min_size=2,
        max_size=12,
    )
)
@settings(max_examples=200)
def test_keys_in_any_order_are_read_alike(shapes: list[tuple[list[str], set[str], bool]]) -> None:
    """The scanner expects the keys of the record before: others come first, some are not there, some come twice."""
    values = []
    for order, left_out, again in shapes:
        record = call() | {"x": {"id": "other", "x": [{"to": 1}]}}
        members = [f"{json.dumps(key)}:{json.dumps(record[key])}" for key in order if key not in left_out]
        values.append(("{" + ",".join(members + members[:1] * again) + "}").encode())
    same(reader_of("plain"), raw_of(values))


def test_more_keys_than_are_remembered_are_read_alike() -> None:
    """Those beyond are looked up, each time."""
    many = {f"unasked_{i}": i for i in range(MOST_MET)}
    values = [json.dumps(many | call(id=f"c-{i}")).encode() for i in range(5)]
    assert odd(reader_of("plain"), values) == []
    same(reader_of("plain"), raw_of(values))


@pytest.mark.parametrize(
    "text",
    [
        '{"id":"a","id":"b",%s}',
        '{"id":"a","id":null,%s}',
        '{"id":null,"id":"b",%s}',
        '{"id":"a",%s} ',
        '{"id":"a",%s} x',
        '{"id":"a",%s,}',
        '{"id":"a",,%s}',
        '{"id":"a" %s}',
        '{"id":"a",%s',
        '{"id":"a\\u0062",%s}',
        '{"i\\u0064":"a",%s}',
        '{"id":"a","x":"\\ud800",%s}',
        '{"id":"a","x":"\\q",%s}',
        '{"id":"a","x":"\\\\",%s}',
        '{"id":"a","x":"\\"","y":[{"id":"b"},[]],%s}',
        '{"id":"a","x":[1,],%s}',
        '{"id":"a","x":{"a"},%s}',
        '{"id":"a","x":[1 2],%s}',
        '{"id":"a","x":01,%s}',
        '{"id":"a","x":-,%s}',
        '{"id":"a","x":-0.5e-3,%s}',
        '{"id":"a","x":1.,%s}',
        '{"id":"a","x":tru,%s}',
        '{"id":"a","x":truex,%s}',
        '{"id":"a","x":nul',
        '{"id":"a","x":"',
        '{"id":007,%s}',
        '{"id":-0,%s}',
        '{"id":123456789012345678901234567890,%s}',
        '{"id":1.0,%s}',
        '{"id":"a\tb",%s}',
        '{"id":"a","x":"\x7f",%s}',
        '[{"id":"a",%s}]',
        '"id"',
        "{}",
        "{",
        "}",
    ],
)
def test_both_ways_read_the_same_json(text: str) -> None:
    """Twice the same key, escapes, numbers and literals that are none, brackets that do not match."""
    rest = json.dumps(call(id=None))[1:-1]
    value = (text.replace("%s", rest)).encode()
    cut = [value[:end] for end in range(len(value))]
    same(reader_of("plain"), raw_of([value, *cut, json.dumps(call()).encode()]))


@pytest.mark.parametrize("seconds", [0.05, 0.15, 1.005, 2.675, 9.95, 12345.678, 0.123456789012])
def test_lengths_with_a_fraction_are_rounded_alike(seconds: float) -> None:
    """Read as the nearest double, as Python reads them."""
    assert odd(reader_of("plain"), [json.dumps(call(ring=seconds)).encode()]) == []
    same(reader_of("plain"), raw_of([json.dumps(call(ring=seconds, duration=str(seconds))).encode()]))


@given(
    st.datetimes(),
    st.sampled_from(["", "Z", "+00:30", "-14:00"]),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
@settings(max_examples=400)
def test_written_times_are_read_alike(moment: Any, zone: str, spec: str) -> None:
    """Every day of every year that there is."""
    text = moment.isoformat(timespec=spec) + zone
    line = f"{text},submit_sm,m-2,+999700000001,+999700000002,bank,ESME_ROK".encode()
    same(zoned(), raw_of([line, line.replace(b"T", b" ", 1)]))


@cache
def zoned() -> SourceReader:
    """SMSC records, three and a half hours behind."""
    return reader_of("smsc", utc_offset_minutes=-210)


@given(st.text("0123456789", max_size=17), st.sampled_from(["", "+", "00", "%2B", "+0", "0"]))
@settings(max_examples=400)
def test_numbers_are_read_alike(digits: str, before: str) -> None:
    """Zones, our own prefixes and emergency numbers behind every way of writing the digits."""
    for reader in (numbered(""), numbered("GB")):
        same(
            reader, raw_of([json.dumps(call(to=before + lead + digits)).encode() for lead in ("", "999", "9997", "44")])
        )


@cache
def numbered(region: str) -> SourceReader:
    """The plain form of a network with many prefixes."""
    home = {"region": region, "own_prefixes": ("9997", "99972", "44770090012"), "emergency": ("112", "911", "9110")}
    return reader_of("plain", home=home)


PLAIN_PYTHON = """
import sys, numpy as np
from tests.ingest.test_express import everything
with np.errstate(over="ignore"):  # hashes are arithmetic modulo 2^64
    np.savez(sys.argv[1], *[got.rows for got in everything()])
"""


def everything() -> list[Ingested]:
    """The examples of every mapping, read the express way."""
    return [reader_of(path.stem).read(raw_of(examples(path))) for path in MAPPINGS]


def test_plain_python_gives_the_same_rows(tmp_path: Path) -> None:
    """With NUMBA_DISABLE_JIT=1, where bounds are checked, in a process of its own."""
    path = tmp_path / "plain.npz"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", PLAIN_PYTHON, str(path)], check=True, env=environment)
    with np.load(path) as plain:
        for i, got in enumerate(everything()):
            assert plain[f"arr_{i}"].tobytes() == got.rows.tobytes(), MAPPINGS[i].stem


WARMED_UP = """
import sys
from detector.ingest.rows import scatter
from numba.core.registry import CPUDispatcher
from tests.ingest.test_express import MAPPINGS, examples, reader_of, raw_of

def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("detector.")]
    kernels = [thing for module in modules for thing in vars(module).values() if isinstance(thing, CPUDispatcher)]
    return sum(len(kernel.signatures) for kernel in set(kernels))

path = next(path for path in MAPPINGS if path.stem == sys.argv[1])
reader = reader_of(path.stem)
cold = compiled()
reader.warm_up()
warm = compiled()
rows = reader.read(raw_of(examples(path))).rows
scatter(rows, 12)
print(len(rows), cold, warm, compiled())
"""


@pytest.mark.parametrize("name", ["plain", "freeswitch", "asterisk"])
def test_after_the_warm_up_no_record_waits_for_a_compiler(name: str) -> None:
    """In a process of its own, where nothing has been read before."""
    done = subprocess.run([sys.executable, "-c", WARMED_UP, name], capture_output=True, text=True, check=True)
    rows, cold, warm, afterwards = map(int, done.stdout.split())
    assert rows > 0
    assert cold < warm == afterwards
