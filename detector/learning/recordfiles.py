"""Record files: messages as the topic of their source would have held them, a block at a time.

    CSV, JSON, JSON lines --the source's own codec--> messages
    parquet --a row, as a JSON object of its columns--> messages

Memory does not grow with a file: only one that may be a single record is read as a whole.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from detector.errors import ConfigError
from detector.ingest.codec import LARGEST, Decoder
from detector.ingest.mapping import Codec
from detector.learning.jsonrows import json_rows

BLOCK_BYTES: Final = 1 << 22
"""Of a text file that are read at once."""
BATCH_ROWS: Final = 4_096
"""Of a parquet file that are rendered at once."""


def message_blocks(files: Iterable[Path], decoder: Decoder, codec: Codec, size: int) -> Iterator[list[bytes]]:
    """The messages of all files, in order, `size` at a time whatever file they stand in.

    Raises `ConfigError` where a file cannot be read, or parquet is not what the source's codec decodes.
    """
    messages = (message for file in files for message in _messages(file, decoder, codec))
    while block := list(islice(messages, size)):
        yield block


def _messages(path: Path, decoder: Decoder, codec: Codec) -> Iterator[bytes]:
    try:
        if path.suffix == ".parquet":
            yield from _of_parquet(path, codec)
        elif path.stat().st_size <= LARGEST:  # it may be one record, over many lines
            yield from decoder.split(path.read_bytes())
        else:
            with path.open("rb") as file:
                while lines := file.readlines(BLOCK_BYTES):
                    yield from decoder.split(b"".join(lines))
    except OSError as error:
        raise ConfigError(f"{path}: wanted a readable file (got {error.strerror or error})") from error
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{path}: wanted a parquet file ({error})") from error


def _of_parquet(path: Path, codec: Codec) -> Iterator[bytes]:
    """Every row as a JSON object; what is null is left out, and timestamps are UTC milliseconds."""
    if codec.format == "csv" or codec.many or codec.envelope:
        what = "csv" if codec.format == "csv" else "records in an envelope or list"
        raise ConfigError(f"{path}: wanted a source that reads one JSON object a record, for parquet (got {what})")
    with pq.ParquetFile(path, pre_buffer=False) as file:  # else Arrow reads all row groups ahead, the whole file
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            yield from json_rows(batch)
