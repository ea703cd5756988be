"""Settings: one frozen tree, read from one YAML file and the environment.

Every setting is a field with a type, a default and a help line, and can also be given as
`DETECTOR__<SECTION>__<FIELD>` (double underscores between levels), whose value is read as
YAML. A value `${env:NAME}` or `${file:/path}` anywhere in the file is replaced by that
variable or by that file's content without its last line break: so secrets stay out of the
file, and out of flags. Relative paths are relative to the folder of the file.
"""

import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
import yaml
from msgspec import Meta, Struct

from detector.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
"""The project's root: where `configs/` and `models/` are."""

T = TypeVar("T")
Mode = Literal["shadow", "flag", "enforce"]
KafkaOptions = dict[str, str | int | float | bool]
"""librdkafka's own settings, passed through as they are."""

SECRET: Final = {"writeOnly": True}
"""In the schema of a setting whose value is shown to nobody."""

Positive = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


def _help(text: str) -> Any:
    return Meta(description=text)


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section of the settings."""


class Home(Part, frozen=True):
    """The network itself."""

    country_code: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,2}$"), _help("calling code of the home country")]
    region: Annotated[str, _help("ISO 3166 region whose national format numbers are written in; '' = none")] = ""
    utc_offset_minutes: Annotated[
        int, Meta(ge=-14 * 60, le=14 * 60), _help("local time of the network, for night and hour-of-day features")
    ] = 0
    emergency: Annotated[tuple[str, ...], _help("numbers that are never subjects")] = ("112", "911")
    own_prefixes: Annotated[
        tuple[str, ...], _help("E.164 prefixes (no +) of our own subscribers; empty = the whole home country")
    ] = ()
    zones: Annotated[str, _help("table of destination zones by longest prefix")] = "zones.csv"


class Topics(Part, frozen=True):
    """Names of our own topics, and how they are made."""

    events: str = "events.by-number"
    decisions: str = "decisions"
    history: str = "decisions.history"
    shadow: str = "decisions.shadow"
    commands: str = "commands"
    control: str = "control"
    rejects: str = "rejects"
    heartbeats: str = "heartbeats"
    labels: str = "labels"
    vectors: str = "vectors"
    partitions: Annotated[Positive, Meta(le=4096), _help("P, fixed for life: 12, or 48 for a national network")] = 12
    replication: Annotated[Positive, _help("replication factor; 3 in production")] = 1


class Trunk(Part, frozen=True):
    """A trunk group or account: an identity of 1 to 511 and what is known about it."""

    id: Annotated[int, Meta(ge=1, le=511)]
    international: Annotated[bool, _help("carries international traffic")] = False
    interconnect: Annotated[bool, _help("traffic of another network: originators are unattested unless signed")] = False
    region: Annotated[str, _help("ISO region of national-format numbers on this trunk; '' = the source's")] = ""


class Source(Part, frozen=True):
    """One topic of records, and how to read it."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    id: Annotated[int, Meta(ge=1, le=63), _help("fixed for life: it stands in every row")]
    topic: str
    mapping: Annotated[str, _help("the mapping file")]
    region: Annotated[str, _help("ISO region of national-format numbers; '' = the home's")] = ""
    utc_offset_minutes: Annotated[int | None, _help("zone of times written without one; none = the home's")] = None
    trunks: Annotated[dict[str, Trunk], _help("trunk groups and accounts by the name that records carry")] = {}
    max_future_s: Annotated[
        int | None, _help("refuse events later than this after their Kafka timestamp; null = off, for replays")
    ] = 120
    silent_after_s: Annotated[
        Positive | None,
        _help(
            "with no events for so long of event time, or half as many as usual, its rules hold back blocks; null = off"
        ),
    ] = None


class Ingest(Part, frozen=True):
    """The ingest role."""

    # Reached only behind a backlog, for a batch takes what is there. A transaction costs broker and clients the same
    # whatever it holds (a request for each of the partitions): in transactions of up to 60,000 records the broker
    # took a quarter less than in those of 20,000. Half a second's work at the most.
    batch_records: Annotated[Positive, _help("records in one transaction at most")] = 50_000
    wait_ms: Annotated[Positive, _help("how long an idle poll waits")] = 100
    rows_per_message: Annotated[Positive, Meta(le=8192), _help("rows packed in one internal message at most")] = 4_096
    # Off unless asked for: it takes a topic more, which `detector topics create` makes.
    heartbeat_s: Annotated[
        Positive | None,
        _help(
            "seconds between two heartbeats of a partition, which travel from a topic to detect's commit; null = none"
        ),
    ] = None


class Detect(Part, frozen=True):
    """The detect role."""

    batch_messages: Annotated[Positive, _help("internal messages in one transaction at most")] = 500
    wait_ms: Annotated[Positive, _help("how long an idle poll waits")] = 100
    capacity: Annotated[Positive, _help("numbers that a partition makes room for at first; it grows")] = 4_096
    # A number, not megabytes: an operator knows how many subscribers there are, and who is evicted then depends on
    # nothing but the numbers and times of the rows, not on the size of our records. `detector plan-memory` says what
    # the numbers take. None by default: a limit below the base that is really seen turns subscribers into strangers,
    # and what only passes by is forgotten after sixteen days anyway. State depends on it as it does on the log: a
    # snapshot under another limit is of use only where neither limit was ever reached (`State.from_arrays`).
    most_numbers: Annotated[
        Annotated[int, Meta(ge=1, le=1 << 28)] | None,
        _help("numbers that a partition remembers at most: the longest silent goes for a new one; null = no limit"),
    ] = None
    # A vector is 0.5 KB: of 100,000 scored rows a second, 53 KB a second.
    vectors_every: Annotated[
        Positive | None,
        _help("one scored vector of so many is kept on the topic `vectors`, and every decision's; null = none"),
    ] = 1_000
    snapshots: Annotated[str, _help("folder that all detect workers reach")] = "../var/snapshots"
    snapshot_every_s: Annotated[Positive, _help("wall-clock seconds between two snapshots of a partition")] = 300
    # Two threads of a worker replay 0.3 million rows a second while everything else is under load (1 M numbers in all,
    # `python -m loadtest recovery`): so about 3 s.
    replay_rows: Annotated[
        Positive,
        _help("rows since the last snapshots of all partitions of a process together, from which on one is due anyway"),
    ] = 1_000_000
    snapshots_kept: Positive = 3


class ModelChoice(Part, frozen=True):
    """Which model scores."""

    bundle: Annotated[str, _help("folder of the model bundle")] = "../models/default"
    accept_simulated: Annotated[bool, _help("let a model that was trained on simulated traffic only block")] = False
    challenger: Annotated[
        str | None, _help("folder of another bundle: it scores the same rows, decides nothing, and metrics tell")
    ] = None


class Verdict(Part, frozen=True):
    """What may be decided."""

    mode: Annotated[Mode, _help("shadow: decide aside; flag: never block; enforce")] = "flag"
    policy: Annotated[str, _help("the rules")] = "policy.yaml"
    block_budget_per_hour: Annotated[
        Natural, _help("blocks by rules and models in the whole network and hour of event time")
    ] = 600
    hold_out_share: Annotated[Share, _help("share of numbers never blocked by model or rule: unbiased labels")] = 0.0
    hold_out_key: Annotated[
        str, Meta(extra_json_schema=SECRET), _help("secret of the keyed hash that draws the hold-out")
    ] = ""
    redress: Annotated[dict[str, str], _help("url, tel or email that a blocked caller can turn to")] = {}
    assume_warm: Annotated[bool, _help("treat the log as covering the longest window: replays and tests only")] = False


class Admin(Part, frozen=True):
    """Health, readiness and metrics over HTTP; with tokens, looking at numbers and giving orders."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535), _help("of the first process; each further one takes the next")] = 9108
    tokens: Annotated[
        str | None,
        _help("file of names, roles and hashes of tokens; null = who is on this machine may look, nobody may order"),
    ] = None


class Log(Part, frozen=True):
    """What a process writes on stderr."""

    format: Annotated[Literal["text", "json"], _help("lines for people, or an object a line for a store of logs")] = (
        "text"
    )
    numbers: Annotated[
        Literal["pseudonym", "plain"], _help("how numbers stand in the log; `detector pseudonym` says a number's name")
    ] = "pseudonym"
    pseudonym_key: Annotated[
        str,
        Meta(extra_json_schema=SECRET),
        _help("secret of the pseudonyms, the same for all processes; '' = another one at each start"),
    ] = ""


class Settings(Part, frozen=True):
    """The whole configuration."""

    home: Home
    sources: tuple[Source, ...]
    instance: Annotated[str, _help("name of this host: role-instance-ordinal identifies a process")] = ""
    group: Annotated[str, _help("prefix of consumer groups and transactional ids: one for each deployment")] = (
        "detector"
    )
    kafka: KafkaOptions = msgspec.field(
        default_factory=lambda: dict[str, str | int | float | bool]({"bootstrap.servers": "127.0.0.1:9092"})
    )
    topics: Topics = Topics()
    ingest: Ingest = Ingest()
    detect: Detect = Detect()
    model: ModelChoice = ModelChoice()
    verdict: Verdict = Verdict()
    admin: Admin = Admin()
    log: Log = Log()
    base: Annotated[str, _help("folder that relative paths start from; set by load")] = ""

    def path(self, name: str) -> Path:
        """The absolute path of a file or folder that the settings name."""
        return (Path(self.base) / name).resolve()


def load(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of `path`, the environment's on top; `ConfigError` with file, path, wanted and got."""
    environ = os.environ if environ is None else environ
    tree = _substitute(read_yaml(path), path, environ)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: wanted a mapping of settings (got {type(tree).__name__})")
    for name in variables(environ):
        put(tree, keys_of(name), value_of(name, environ), name)
    # Not resolved: what Kubernetes mounts are links into a folder that is replaced, and gone, on every change.
    tree["base"] = str(path.absolute().parent)
    tree["instance"] = tree.get("instance") or socket.gethostname()
    settings = convert(tree, Settings, str(path))
    for place, what in contradictions(settings):
        raise ConfigError(f"{path}: {place}{what}")
    return settings


def read_yaml(path: Path) -> Any:
    """What the YAML file says; `ConfigError` when it is missing or not YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: wanted a readable file (got {error.strerror or error})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: wanted YAML ({error})") from error


def convert(tree: Any, kind: type[T], where: str) -> T:
    """`tree` as a `kind`, strictly; `ConfigError` names file, path, wanted and got."""
    try:
        return msgspec.convert(tree, kind, str_keys=True)
    except msgspec.ValidationError as error:
        message = str(error)
        what, _, at = message.partition(" - at ")
        got = _got(tree, at.strip("`"))
        raise ConfigError(f"{where}: {at.strip('`').removeprefix('$.') or 'top level'}: {what}{got}") from error


def _got(tree: Any, path: str) -> str:
    """` (got <value>)` at a msgspec path such as `$.sources[1].id`, or nothing where it leads nowhere."""
    if is_secret(path):
        return ""
    for key, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", path):
        try:
            tree = tree[key] if key else tree[int(index)]
        except (KeyError, IndexError, TypeError, ValueError):
            return ""
    return "" if isinstance(tree, dict | list) else f" (got {tree!r})"


_REFERENCE: Final = re.compile(r"\$\{(env|file):([^}]+)\}")
_SECRET: Final = re.compile(r"password|passphrase|secret|jaas|_key$|key\.pem$|sha256$")
"""A token's hash too: who makes a slip writes the token there."""


def is_secret(name: str) -> bool:
    """Whether the last part of a setting's name, ours or librdkafka's, says that nobody is to see its value."""
    return bool(_SECRET.search(name))


def references(text: str) -> list[str]:
    """The `${env:NAME}` and `${file:/path}` in a value, as they stand there."""
    return [match.group() for match in _REFERENCE.finditer(text)]


def _substitute(tree: Any, path: Path, environ: Mapping[str, str]) -> Any:
    if isinstance(tree, dict):
        return {key: _substitute(value, path, environ) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_substitute(value, path, environ) for value in tree]
    return substituted(tree, path, environ) if isinstance(tree, str) else tree


def substituted(text: str, path: Path, environ: Mapping[str, str]) -> str:
    """`text` of the file `path`, its references replaced; `ConfigError` names the first that leads nowhere."""

    def content(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind == "env":
            if name not in environ:
                raise ConfigError(f"{path}: {match.group()}: wanted an environment variable (got none)")
            return environ[name]
        try:
            return Path(path.parent, name).read_text(encoding="utf-8").rstrip("\n")
        except OSError as error:
            raise ConfigError(f"{path}: {match.group()}: wanted a readable file (got {error.strerror})") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: {match.group()}: wanted text in UTF-8 (got other bytes)") from error

    return _REFERENCE.sub(content, text)


def variables(environ: Mapping[str, str]) -> list[str]:
    """The names in the environment that stand for settings, in the order in which they are put on the file."""
    return [name for name in environ if name.startswith("DETECTOR__")]


def keys_of(name: str) -> list[str]:
    """Where a variable's value belongs: `DETECTOR__VERDICT__MODE` at verdict, mode.

    librdkafka's names have dots, which no shell exports: `DETECTOR__KAFKA__BOOTSTRAP_SERVERS` is bootstrap.servers.
    """
    section, *keys = (part.lower() for part in name.split("__")[1:])
    return [section, *(key.replace("_", ".") if section == "kafka" else key for key in keys)]


def variable_of(keys: Sequence[str]) -> str:
    """The variable whose value belongs at `keys`."""
    return "__".join(("DETECTOR", *keys)).upper()


def value_of(name: str, environ: Mapping[str, str]) -> Any:
    """A variable's value, read as YAML; `ConfigError` where it is none."""
    try:
        return yaml.safe_load(environ[name])
    except yaml.YAMLError as error:
        # Not the value: it may be a secret.
        raise ConfigError(
            f"{name}: wanted a value in YAML ({getattr(error, 'problem', None) or 'got none'})"
        ) from error


def put(tree: dict[str, Any], keys: list[str], value: Any, name: str) -> None:
    """`value` stands in `tree` at `keys`; `ConfigError` names the variable that leads through a value."""
    for key in keys[:-1]:
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):
            raise ConfigError(f"{name}: wanted a section at {key} (got {below!r})")
        tree = below
    tree[keys[-1]] = value


def contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """What types cannot say: the place of each mistake, and the words that follow it."""
    if not settings.sources:
        yield "sources", ": wanted at least one (got none)"
    for field in ("name", "id", "topic"):
        seen: set[Any] = set()
        for i, source in enumerate(settings.sources):
            value = getattr(source, field)
            if value in seen:
                yield f"sources[{i}].{field}", f" must differ from every other (got {value!r} twice)"
            seen.add(value)
    if settings.verdict.hold_out_share > 0 and not settings.verdict.hold_out_key:
        yield "verdict.hold_out_key", " must be set when hold_out_share is above 0 (got '')"
