"""Sense: what `packing` must know of a source to make rows of what its records say."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from detector.config import Source
from detector.ingest.bytewise import CRC_TABLES, Octets, padded
from detector.ingest.mapping import WORDS, Mapping, Phase
from detector.ingest.moments import CAUSES
from detector.records import MAX_TRUNK, Flag, I64s

FLAGS_OF_CALL: Final = np.zeros(len(Phase), np.uint16)
"""What a record of each phase says of its call."""
for _phase, _flags in {
    Phase.COMPLETE: Flag.BEGAN | Flag.ENDED,
    Phase.START: Flag.BEGAN,
    Phase.ANSWER: Flag.ANSWERED,
    Phase.CONNECT: Flag.BEGAN | Flag.ANSWERED,
    Phase.INTERIM: Flag.INTERIM,
    Phase.FIRST: Flag.BEGAN | Flag.ANSWERED | Flag.INTERIM,
    Phase.LAST: Flag.ENDED | Flag.INTERIM,
    Phase.END: Flag.ENDED,
}.items():
    FLAGS_OF_CALL[_phase] = _flags


class Sense(NamedTuple):
    """Of one source, as a kernel takes it."""

    source: int
    end_answers: bool
    max_future_ms: int
    """-1 = any."""
    interconnect: I64s
    """Of each trunk group or account: 1 if it is."""
    international: I64s
    flags_of_call: I64s
    """Of each phase."""
    told: I64s
    """Of each cause below 1024: the outcome that it tells."""
    tails: Octets
    """`|phase`, one after the other."""
    tail_start: I64s
    tail_length: I64s
    crc_tables: I64s


def sense_of(source: Source, mapping: Mapping) -> Sense:
    """What the settings and the mapping of a source say."""
    trunks = source.trunks.values()
    texts, starts, lengths = _tails()
    return Sense(
        source=source.id,
        end_answers=mapping.end_answers,
        max_future_ms=-1 if source.max_future_s is None else source.max_future_s * 1000,
        interconnect=_members([trunk.id for trunk in trunks if trunk.interconnect]),
        international=_members([trunk.id for trunk in trunks if trunk.international]),
        flags_of_call=FLAGS_OF_CALL.astype(np.int64),
        told=_told(),
        tails=texts,
        tail_start=starts,
        tail_length=lengths,
        crc_tables=CRC_TABLES,
    )


def _tails() -> tuple[Octets, I64s, I64s]:
    """Of each phase, `|phase`: the bytes of all, where each begins, how long it is."""
    texts = [f"|{word}".encode() for word in WORDS["phase"]]
    lengths = np.array([len(text) for text in texts], np.int64)
    return padded(b"".join(texts)), np.cumsum(lengths) - lengths, lengths


def _members(ids: Sequence[int]) -> I64s:
    """1 for each trunk group among `ids`."""
    found: I64s = np.isin(np.arange(MAX_TRUNK + 1), list(ids)).astype(np.int64)
    return found


def _told() -> I64s:
    """Of each cause below 1024: the outcome that it tells, 0 for none."""
    outcomes = np.zeros(1024, np.int64)
    for cause, outcome in CAUSES.items():
        outcomes[cause] = outcome
    return outcomes
