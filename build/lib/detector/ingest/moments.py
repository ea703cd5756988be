"""Times and outcomes of a batch -> when each record's event happened, how it went, how long it talked.

Pure functions over whole columns. A time that is not there is NaN, one that cannot be read is
infinite, and both compare false or out of range, so no function asks for either.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from detector.errors import Reason
from detector.ingest.codec import Column
from detector.ingest.columns import Faults, Floats
from detector.ingest.mapping import Outcome, Phase
from detector.records import Bools, I64s, Kind

EARLIEST_MS: Final = 946_684_800_000.0
"""2000-01-01: a clock that says less was never set."""
LATEST_MS: Final = 4_102_444_800_000.0
"""2100-01-01: a value beyond is in another unit."""
LONGEST_S: Final = 30 * 86_400.0
"""No call lasts 30 days; switches end one after hours."""

_NOT_ANSWERED: Final = (Outcome.NO_ANSWER, Outcome.BUSY, Outcome.CANCELLED, Outcome.FAILED, Outcome.BLOCKED)
_END_FIRST: Final = np.isin(np.arange(len(Phase)), (Phase.COMPLETE, Phase.END, Phase.LAST))
_BY_ANSWER: Final = np.isin(np.arange(len(Phase)), (Phase.ANSWER, Phase.CONNECT))

# What a cause says of an unanswered call where the source has no outcome: Q.850 below 128, SIP above.
CAUSES: Final[Mapping[int, Outcome]] = {
    1: Outcome.FAILED,
    28: Outcome.FAILED,
    404: Outcome.FAILED,
    484: Outcome.FAILED,
    604: Outcome.FAILED,
    17: Outcome.BUSY,
    486: Outcome.BUSY,
    600: Outcome.BUSY,
    487: Outcome.CANCELLED,
}


def was_answered(outcome: I64s, answer: Floats, talk: Floats, kind: I64s) -> Bools:
    """Whether a call was answered: the outcome says, else an answer time or talk time shows it."""
    shows = (outcome == Outcome.UNKNOWN) & (~np.isnan(answer) | (talk > 0))
    answered: Bools = ((outcome == Outcome.ANSWERED) | shows) & (kind == Kind.CALL)
    return answered


def told_by_cause(outcome: I64s, cause: I64s, answered: Bools) -> I64s:
    """The outcomes, those of unanswered calls that are unknown being told by their cause."""
    open_ = (outcome == Outcome.UNKNOWN) & ~answered & (cause > 0)
    if not open_.any():
        return outcome
    outcome = outcome.copy()
    for value, told in CAUSES.items():
        outcome[open_ & (cause == value)] = told
    return outcome


def event_ms(phase: I64s, kind: I64s, answered: Bools, times: dict[str, Floats], spans: dict[str, Floats]) -> Floats:
    """When the reported event happened: the end of a finished call, else the moment itself."""
    talk_ms = spans["duration"] * 1000
    ended = _first(
        times["end"], np.where(answered, times["answer"] + talk_ms, np.nan), times["time"], times["start"] + talk_ms
    )
    moment = _first(times["time"], times["start"], times["end"])
    answer = _first(times["time"], times["answer"], times["start"])
    message = _first(times["time"], times["end"], times["start"])
    call = np.where(
        _END_FIRST[phase],
        _first(ended, times["start"]),
        np.where(_BY_ANSWER[phase], answer, np.where(phase == Phase.START, moment, message)),
    )
    return np.where(kind == Kind.CALL, call, message)


def talk_s(phase: I64s, kind: I64s, answered: Bools, times: dict[str, Floats], given: Floats) -> Floats:
    """Talk seconds that the record adds: none where nothing was answered or the call has just begun."""
    whole = (phase == Phase.COMPLETE) | (phase == Phase.END)
    between = np.where(whole, (_first(times["end"], times["time"]) - times["answer"]) / 1000, np.nan)
    adds = _first(given, between)
    silent = np.isin(phase, (Phase.START, Phase.ANSWER, Phase.CONNECT)) | (kind != Kind.CALL)
    return np.where(silent | ((phase == Phase.COMPLETE) & ~answered), 0.0, adds)


def ring_s(phase: I64s, answered: Bools, times: dict[str, Floats], given: Floats) -> Floats:
    """Seconds from the start to the answer, or to the end of a call that nobody answered."""
    until = np.where(answered, times["answer"], np.where(phase == Phase.COMPLETE, times["end"], np.nan))
    return _first(given, (until - times["start"]) / 1000)


def check_order(outcome: I64s, times: dict[str, Floats], raw: dict[str, Column], faults: Faults) -> None:
    """Start, answer and end come in this order, and not a month apart."""
    # On an unanswered call some sources write the time of the failure there.
    answer = np.where(np.isin(outcome, _NOT_ANSWERED), np.nan, times["answer"])
    pairs = (("start", "end", times["end"]), ("start", "answer", answer), ("answer", "end", times["end"]))
    for first, second, later in pairs:
        earlier = answer if first == "answer" else times[first]
        faults.mark(
            later < earlier,
            Reason.END_BEFORE_START,
            f"{second}: wanted {first} or later",
            raw[second],
        )
    faults.mark(
        times["end"] - times["start"] > LONGEST_S * 1000,
        Reason.BAD_DURATION,
        "end: wanted within 30 days of start",
        raw["end"],
    )


def check_event(happened_ms: Floats, published_ms: I64s, max_future_s: int | None, faults: Faults) -> None:
    """The event has a time of this century, and not one after its message was published."""
    faults.mark(np.isnan(happened_ms), Reason.MISSING_FIELD, "time: wanted when it happened")
    faults.mark(
        (happened_ms < EARLIEST_MS) | (happened_ms >= LATEST_MS),
        Reason.BAD_TIME,
        "time: wanted a time from 2000 to 2099",
        happened_ms,
    )
    if max_future_s is not None:
        faults.mark(
            happened_ms > published_ms + max_future_s * 1000.0,
            Reason.FUTURE,
            f"time: wanted at most {max_future_s} s after the message was published",
            happened_ms,
        )


def _first(*choices: Floats) -> Floats:
    """The first of several values that is there."""
    found = choices[0]
    for other in choices[1:]:
        gaps = np.isnan(found)
        if not gaps.any():
            break
        found = np.where(gaps, other, found)
    return found
