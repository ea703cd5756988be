"""Record files give the messages that the source's topic would have held, whatever their size and form."""

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detector.errors import ConfigError
from detector.ingest.codec import CsvDecoder, Decoder, JsonDecoder
from detector.ingest.mapping import Codec
from detector.learning import recordfiles
from detector.learning.recordfiles import message_blocks

JSON = Codec(format="json")
CSV = Codec(format="csv", columns=("a", "b"))


def decoder(codec: Codec) -> Decoder:
    """Of two columns, or of one field."""
    return CsvDecoder(codec) if codec.format == "csv" else JsonDecoder(codec, {"a": int | None}, "test")


def blocks(files: list[Path], codec: Codec = JSON, size: int = 3) -> list[list[bytes]]:
    """All of them."""
    return list(message_blocks(files, decoder(codec), codec, size))


def test_blocks_are_of_one_size_whatever_file_the_messages_stand_in(tmp_path: Path) -> None:
    """So that nothing can depend on how a log was cut into files."""
    lines = [b'{"a":%d}' % i for i in range(8)]
    (tmp_path / "whole.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines[:2]))
    (tmp_path / "b.jsonl").write_bytes(b"\n\n".join(lines[2:]))
    wanted = [lines[:3], lines[3:6], lines[6:]]
    assert blocks([tmp_path / "whole.jsonl"]) == wanted
    assert blocks([tmp_path / "a.jsonl", tmp_path / "b.jsonl"]) == wanted


@pytest.mark.parametrize("codec", [JSON, Codec(format="ndjson"), CSV], ids=["json", "ndjson", "csv"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
def test_a_large_file_gives_what_a_small_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: Codec, end: bytes
) -> None:
    """It is read in pieces, cut between lines."""
    line = b"1,%d" if codec.format == "csv" else b'{"a":%d}'
    path = tmp_path / "records"
    path.write_bytes(end.join(line % i for i in range(40)) + end)
    wanted = [message for block in blocks([path], codec) for message in block]
    assert len(wanted) == 40
    monkeypatch.setattr(recordfiles, "LARGEST", 10)
    for size in (1, 20, 1000):
        monkeypatch.setattr(recordfiles, "BLOCK_BYTES", size)
        assert [message.strip() for block in blocks([path], codec) for message in block] == [
            message.strip() for message in wanted
        ]


def test_a_record_over_many_lines_is_one_message(tmp_path: Path) -> None:
    """A switch that writes a file a call writes it so."""
    path = tmp_path / "call.json"
    path.write_text(json.dumps({"a": 1, "b": [2, 3]}, indent=2))
    assert blocks([path]) == [[path.read_bytes()]]


def test_a_parquet_row_is_the_object_of_its_columns(tmp_path: Path) -> None:
    """Null is absent, timestamps are milliseconds, objects stay objects."""
    moment = datetime.datetime(2026, 11, 2, 0, 0, 1, tzinfo=datetime.UTC)
    rows: list[dict[str, Any]] = [
        {"id": "c-1", "end": moment, "ring": 1.5, "on": {"x": 1}},
        {"id": "c-2", "end": None, "ring": None, "on": None},
    ]
    kinds = {
        "id": pa.string(),
        "end": pa.timestamp("us", "UTC"),
        "ring": pa.float64(),
        "on": pa.struct({"x": pa.int64()}),
    }
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), tmp_path / "r.parquet")
    ((first, second),) = blocks([tmp_path / "r.parquet"])
    assert json.loads(first) == {"id": "c-1", "end": 1_793_577_601_000, "ring": 1.5, "on": {"x": 1}}
    assert json.loads(second) == {"id": "c-2"}


def test_of_a_large_parquet_file_little_is_held(tmp_path: Path) -> None:
    """Thirty row groups of a megabyte that cannot be compressed: a few of them are in memory at a time."""
    path = tmp_path / "r.parquet"
    rng = np.random.default_rng(1)
    with pq.ParquetWriter(path, pa.schema({"a": pa.string()}), use_dictionary=False) as writer:
        for _ in range(30):
            writer.write_table(pa.table({"a": [rng.bytes(1 << 9).hex() for _ in range(1 << 10)]}))
    before, most = pa.total_allocated_bytes(), 0
    for block in message_blocks([path], decoder(JSON), JSON, 1 << 10):
        assert len(block) == 1 << 10
        most = max(most, pa.total_allocated_bytes() - before)
    assert 0 < most < 12 << 20


def test_parquet_is_refused_where_the_source_reads_something_else(tmp_path: Path) -> None:
    """A row could only be guessed into a line of CSV or an envelope."""
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ConfigError, match=r"r.parquet: wanted a source that reads one JSON object a record.*got csv"):
        blocks([path], CSV)
    with pytest.raises(ConfigError, match="got records in an envelope or list"):
        blocks([path], Codec(format="json", envelope="x"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or not what its ending says."""
    with pytest.raises(ConfigError, match=r"none\.jsonl: wanted a readable file"):
        blocks([tmp_path / "none.jsonl"])
    (tmp_path / "r.parquet").write_text("PAR1")
    with pytest.raises(ConfigError, match=r"r\.parquet: wanted a parquet file"):
        blocks([tmp_path / "r.parquet"])
