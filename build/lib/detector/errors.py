"""Everything that can go wrong, as one tree.

    DetectorError
    ├── ConfigError          a file or setting is wrong: stop at start (exit 2)
    ├── Recoverable          the outside world is away: retry with backoff
    │   └── Abort            the transaction must be aborted and done again
    └── Fatal                go on and something would be lost or doubled: stop (exit 1)
        ├── Fenced           another process has taken this one's identity
        ├── SnapshotError    a snapshot or bundle is not what its manifest says
        └── CannotRebuild    neither a snapshot nor a long enough log

Bad input is not an error but a value: `Rejected`, with a reason from a closed list that
labels a metric. It goes to the `rejects` topic and the stream goes on.
"""

from dataclasses import dataclass
from enum import StrEnum


class DetectorError(Exception):
    """Any error that the detector raises itself."""


class ConfigError(DetectorError):
    """`where` (file and path), what was wanted, what was got."""


class Recoverable(DetectorError):
    """The outside world failed in a way that a retry may mend."""


class Abort(Recoverable):
    """The transaction cannot commit; abort it, poll, and publish again with fresh metadata."""


class Fatal(DetectorError):
    """Going on would lose or double something; the process must end."""


class Fenced(Fatal):
    """Another process runs under this one's transactional id."""


class SnapshotError(Fatal):
    """Files on disk are not what their manifest says."""


class CannotRebuild(Fatal):
    """There is no usable snapshot and the log no longer reaches back far enough."""


class Reason(StrEnum):
    """Why a record was rejected. A closed list: it labels a metric."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    UNDECODABLE = "undecodable"
    """Not the codec's format at all: broken JSON, binary noise."""
    WRONG_SHAPE = "wrong_shape"
    """Decoded, but not the object, list or number of columns that the mapping wants."""
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    BAD_NUMBER = "bad_number"
    BAD_TIME = "bad_time"
    BAD_DURATION = "bad_duration"
    UNKNOWN_VALUE = "unknown_value"
    """A value that the mapping's enum maps (phase, outcome, kind) do not name."""
    FUTURE = "future"
    END_BEFORE_START = "end_before_start"
    NO_SUBJECT = "no_subject"
    """Neither party gives a row: an anonymous caller and a recipient that is not ours."""
    BAD_COMMAND = "bad_command"


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record that gave no row, and why. `detail` says thing, wanted and got."""

    reason: Reason
    detail: str
