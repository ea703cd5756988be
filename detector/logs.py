"""Logs: one line for every event that matters, as text or as JSON, and nobody's number in it.

    log.info("took %s", ..., extra=said(Event.TAKEN, partition=3)) -> Lines -> stderr

A log is copied to where a stream of records never comes: so a number stands in it as a pseudonym only, made with a
key, unless the settings say otherwise. `Numbers` carries them: whatever writes it without `Lines` writes how many.
"""

import hmac
import logging
import secrets
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

import orjson

MOST_NUMBERS: Final = 5
"""In one line: a mass release is one event, not a hundred thousand."""
PSEUDONYM_HEX: Final = 12
"""Digits of a pseudonym, 48 bits: among ten million numbers two of equal name are met once in six networks."""


class Event(StrEnum):
    """What a line tells of. A closed list: a log is searched by it."""

    STARTED = "started"
    """A process answers on its admin port."""
    DRAINED = "drained"
    """A process was told to end, and has committed and saved what it had."""
    ENDED = "ended"
    """A process ends because of an error. Its last line."""
    BROKER_AWAY = "broker_away"
    """A call to Kafka failed in a way that a retry may mend."""
    BROKER_BACK = "broker_back"
    KAFKA = "kafka"
    """News of librdkafka, in its own words."""
    ABORTED = "aborted"
    """A transaction could not commit, and is made again."""
    ASSIGNED = "assigned"
    """Partitions were given to this process by the group."""
    REVOKED = "revoked"
    """Partitions were given to another, or lost."""
    REPLAYED = "replayed"
    """The rows behind a snapshot have changed the state."""
    TAKEN = "taken"
    """A partition is restored, and decided on from now on."""
    RESTORE_FAILED = "restore_failed"
    """A partition could not be restored yet; tried again."""
    SNAPSHOT_FAILED = "snapshot_failed"
    """The one before stays."""
    SNAPSHOT_PASSED_OVER = "snapshot_passed_over"
    """It is damaged, too new or of another model; an older one is looked for."""
    DRIFT_FILE = "drift_file"
    """What was counted for drift could not be written, or be read after a restart: it counts anew."""
    RELOADED = "reloaded"
    """Model, policy, lists, zones or mappings were replaced by newer ones."""
    RELOAD_FAILED = "reload_failed"
    """They could not be loaded: the old ones stay."""
    DECIDED = "decided"
    """Blocks, releases and allowances of one transaction; flags are on the topic only."""
    MODE = "mode"
    """Operators have set the mode that decides."""
    MODE_UNREAD = "mode_unread"
    """What they have set could not be read yet; tried again."""
    TOKENS = "tokens"
    """The admin port's tokens were read again, or could not be."""
    ADMIN_FAILED = "admin_failed"
    """A request to the admin port failed: a defect of ours."""
    SUPERVISOR = "supervisor"
    """A process was started, has ended or was killed."""
    OTHER = "other"
    """A line of a library."""


class Numbers:
    """Numbers in a log line, written as `Lines` is told to; by anything else, as how many there are."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)

    def shown(self, show: Callable[[str], str]) -> list[str]:
        """The first few."""
        return [show(text) for text in self._texts[:MOST_NUMBERS]]

    def written(self, show: Callable[[str], str]) -> str:
        """The first few, and how many more there are."""
        more = len(self._texts) - MOST_NUMBERS
        return ", ".join(self.shown(show)) + (f" and {more} more" if more > 0 else "")

    def __str__(self) -> str:
        return f"{len(self._texts)} numbers"

    __repr__ = __str__


def said(event: Event, **fields: object) -> Mapping[str, object]:
    """The `extra` of a log call: what it tells of, and its facts for those who read JSON."""
    return {"event": event, "fields": fields}


def pseudonyms(key: str) -> Callable[[str], str]:
    """HMAC-SHA256 of a number under `key`, shortened; an empty key is one drawn now, and known to nobody."""
    secret = key.encode() or secrets.token_bytes(32)

    def pseudonym(number: str) -> str:
        return "n-" + hmac.digest(secret, number.encode(), "sha256").hex()[:PSEUDONYM_HEX]

    return pseudonym


class Lines(logging.Formatter):
    """A line for each record: text for people, JSON for a store of logs. `show` writes a number."""

    def __init__(self, process: str, *, json: bool, show: Callable[[str], str]) -> None:
        super().__init__()
        self._process, self._json, self._show = process, json, show

    def format(self, record: logging.LogRecord) -> str:
        message, trace = self._message(record), self._trace(record)
        whole_s = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        at = f"{whole_s}.{int(record.msecs):03d}Z"
        if not self._json:
            # What led to it comes before: the last line says what happened.
            return f"{trace}{at} {self._process} {record.levelname} {message}"
        line: dict[str, object] = {
            "time": at,
            "level": record.levelname.lower(),
            "process": self._process,
            "event": getattr(record, "event", Event.OTHER),
            "message": message,
        }
        line |= {name: self._fact(value) for name, value in getattr(record, "fields", {}).items() if name not in line}
        if trace:
            line["traceback"] = trace
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode("utf-8", "replace")

    def _message(self, record: logging.LogRecord) -> str:
        arguments = record.args
        if isinstance(arguments, tuple) and arguments:
            return str(record.msg) % tuple(self._argument(argument) for argument in arguments)
        return record.getMessage()

    def _argument(self, argument: Any) -> Any:
        return argument.written(self._show) if isinstance(argument, Numbers) else argument

    def _fact(self, value: object) -> object:
        return value.shown(self._show) if isinstance(value, Numbers) else value

    @staticmethod
    def _trace(record: logging.LogRecord) -> str:
        return "".join(traceback.format_exception(record.exc_info[1])) if record.exc_info and record.exc_info[1] else ""
