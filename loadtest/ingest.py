"""Ingest's kernels alone: records of several sources become packed messages, in this process, without a broker.

The figure is processor time of one thread per record, the least of several turns: what a run beside others on a
shared machine can still compare. Beside it stands the general way, over the same records in the same run.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from detector.config import ROOT, Settings, load
from detector.ingest.rows import Ingested, Raw, SourceReader, open_source, pack_message, scatter
from detector.learning.encode import encode
from detector.learning.simulate import Scenario, simulate
from loadtest.command import write_figures

BATCH: Final = 20_000
"""Records of a batch, as `ingest.batch_records`."""
NOON_S: Final = 1_793_620_800
A_SECOND: Final = 2_000
"""Calls of a switch or two at their peak: texts with a time in them come again as often as that."""

FREESWITCH: Final = (
    '{"core-uuid":"2c6b1d9e-5b0e-4f0a-9a51-6a2e9f9a7c11","switchname":"edge","variables":{"direction":"inbound",'
    '"uuid":"%(id)s","session_id":"7","sip_from_user":"%(sender)s","sip_from_uri":"%(sender)s%%4010.10.10.204",'
    '"channel_name":"sofia/internal/%(sender)s%%4010.10.10.204","sofia_profile_name":"internal",'
    '"sip_req_user":"%(to)s","sip_req_uri":"%(to)s%%4010.10.10.204","sip_to_user":"%(to)s",'
    '"sip_user_agent":"Telephone%%201.6","sip_call_id":"%(id)s%%4010.10.10.100","hangup_cause":"%(cause)s",'
    '"hangup_cause_q850":"16","start_epoch":"%(start)d","start_uepoch":"%(start)d534355","answer_epoch":"%(answer)d",'
    '"answer_uepoch":"%(answer)d000000","end_epoch":"%(end)d","end_uepoch":"%(end)d494355","billsec":"%(talk)d",'
    '"duration":"%(whole)d","accountcode":"bank-%(account)d"},"callflow":[{"dialplan":"XML","caller_profile":'
    '{"caller_id_number":"%(sender)s","destination_number":"%(to)s"},"times":{"created_time":"%(start)d534355"}}]}'
)
"""A record as `mod_json_cdr` posts it, texts URL-encoded, with a third of its variables."""
ASTERISK: Final = (
    '"bank-%(account)d","%(sender)s","%(to)s","default","""A"" <%(sender)s>","PJSIP/trunk-%(account)08x","",'
    '"Dial","PJSIP/out","%(start_text)s","%(answer_text)s","%(end_text)s",%(whole)d,%(talk)d,"%(disposition)s",'
    '"DOCUMENTATION","%(id)s",""'
)
FORMS: Final = {"freeswitch": FREESWITCH, "asterisk": ASTERISK}
"""By the name of their source."""
PLAIN: Final = "plain"


@dataclass(frozen=True, slots=True)
class Figure:
    """What one source costs."""

    source: str
    records: int
    record_bytes: float
    odd: int
    """Messages that the kernels left to the general way."""
    read_ns: float
    general_ns: float
    pack_ns: float
    """Rows scattered over the partitions and packed into messages."""


def add(commands: Any) -> None:
    """The command line."""
    parser = commands.add_parser("ingest", help="ingest's kernels alone, by source, beside the general way")
    parser.add_argument(
        "--numbers", type=int, default=3_000, help="subscribers of the plain form (default: %(default)s)"
    )
    parser.add_argument("--turns", type=int, default=5, help="of which the least counts (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    figures = measure(arguments.numbers, arguments.turns)
    sys.stdout.write(table(figures))
    write_figures(arguments.json, [asdict(figure) for figure in figures])
    return 0


def measure(numbers: int, turns: int) -> list[Figure]:
    """One figure for each source; `ns` are per record."""
    settings = load(ROOT / "configs" / "local.yaml")
    sources = {source.name: source for source in settings.sources}
    batches = {PLAIN: encode(simulate(Scenario(numbers=numbers, days=8, seed=1)).records)}
    batches |= {name: list(calls(form, 200_000)) for name, form in FORMS.items()}
    return [
        _figure(settings, open_source(settings, sources[name]), name, values, turns) for name, values in batches.items()
    ]


def calls(form: str, count: int) -> Iterator[bytes]:
    """Calls between 100,000 numbers, `A_SECOND` of them, two out of three answered, written in `form`."""
    chance = np.random.default_rng(5)
    senders, recipients = chance.integers(0, 100_000, (2, count)).tolist()
    for i, (sender, to) in enumerate(zip(senders, recipients, strict=True)):
        start, ring, talk = NOON_S + i // A_SECOND, 3 + i % 20, (7 * i) % 300 if i % 3 else 0
        answer, end = start + ring if talk else 0, start + ring + talk
        texts = {f"{name}_text": _written(at) for name, at in (("start", start), ("answer", answer), ("end", end))}
        cause, disposition = ("NORMAL_CLEARING", "ANSWERED") if talk else ("ORIGINATOR_CANCEL", "NO ANSWER")
        yield (
            form
            % {
                "id": f"{i:08x}-5b0e-4f0a-9a51-6a2e9f9a7c11",
                "sender": f"+9997418{sender:05d}".replace("+", "%2B" if form is FREESWITCH else "+"),
                "to": f"9997418{to:05d}",
                "start": start,
                "answer": answer,
                "end": end,
                "talk": talk,
                "whole": ring + talk,
                "cause": cause,
                "disposition": disposition,
                "account": i % 40,
                **texts,
            }
        ).encode()


def _written(at_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_s)) if at_s else ""


def _figure(settings: Settings, reader: SourceReader, name: str, values: Sequence[bytes], turns: int) -> Figure:
    raws = batches_of(values)
    read = [reader.read(raw) for raw in raws]
    count = len(values)
    few = raws[: max(1, len(raws) // 5)]
    odd = 0
    if reader.express is not None:
        for raw in raws:
            odd += len(
                reader.express.read(raw.values, *map(np.asarray, (raw.partitions, raw.offsets, raw.timestamps_ms))).odd
            )
    return Figure(
        name,
        count,
        sum(map(len, values)) / count,
        odd,
        _least(lambda: [reader.read(raw) for raw in raws], turns) / count,
        _least(lambda: [reader.read_generally(raw) for raw in few], turns) / sum(len(raw.values) for raw in few),
        _least(lambda: pack(settings, read), turns) / count,
    )


def batches_of(values: Sequence[bytes]) -> list[Raw]:
    """The values as batches of ingest's, published when the day is over: none of it is in the future."""
    raws = []
    for start in range(0, len(values), BATCH):
        batch = values[start : start + BATCH]
        nothing = np.zeros(len(batch), np.int64)
        raws.append(Raw(batch, nothing, np.arange(start, start + len(batch)), nothing + (NOON_S + 10**7) * 1000))
    return raws


def pack(settings: Settings, batches: Sequence[Ingested]) -> None:
    """Rows are scattered over the partitions and packed into messages, which go nowhere."""
    most = settings.ingest.rows_per_message
    for ingested in batches:
        for _, rows in scatter(ingested.rows, settings.topics.partitions):
            for at in range(0, len(rows), most):
                pack_message(rows[at : at + most])


def _least(work: Callable[[], object], turns: int) -> float:
    """Nanoseconds of this thread that `work` takes, the least of several turns."""
    taken = []
    for _ in range(turns):
        began = time.thread_time_ns()
        work()
        taken.append(time.thread_time_ns() - began)
    return float(min(taken))


def table(figures: Sequence[Figure]) -> str:
    """The figures as markdown."""
    lines = [
        "| source | records | bytes | odd | read ns | the general way | scatter and pack ns | records/s of one core |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for f in figures:
        rate = 1e9 / (f.read_ns + f.pack_ns)
        lines.append(
            f"| {f.source} | {f.records:,} | {f.record_bytes:.0f} | {f.odd:,} | {f.read_ns:,.0f} | {f.general_ns:,.0f} "
            f"| {f.pack_ns:,.0f} | {rate:,.0f} |"
        )
    return "\n".join(lines) + "\n"
