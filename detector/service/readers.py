"""Readers: how the records of every source are read, as one. `watch` replaces them by newer ones.

    mappings, zones -> Readers -> IngestRole

Mapped anew is what is read from then on: a batch that was mapped the old way and could not be committed is read again,
and then mapped the new way, for nothing of it had been published.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from detector.config import Settings
from detector.errors import ConfigError
from detector.ingest.rows import SourceReader, open_source
from detector.metrics import Metrics
from detector.service.aside import Executor
from detector.service.watch import Watch


@dataclass(frozen=True, slots=True)
class Readers:
    """By the topic of its source, what reads its records."""

    by_topic: Mapping[str, SourceReader]
    versions: Mapping[str, str]
    """Of each source its mapping's version, and 8 hexadecimal digits of the file's hash."""

    @staticmethod
    def load(settings: Settings) -> "Readers":
        """From the files that the settings name, warmed up. `ConfigError` says what is wrong, and where."""
        readers, versions = {}, {}
        for source in settings.sources:
            readers[source.topic] = open_source(settings, source)
            versions[source.name] = f"{readers[source.topic].mapping.version}-{_digest(settings.path(source.mapping))}"
        # Kernels are compiled here and not under a record: before a worker joins, or beside the poll loop.
        for reader in readers.values():
            reader.warm_up()
        return Readers(readers, versions)

    def told(self) -> str:
        """Which mappings are read by, for the log."""
        return "mappings " + ", ".join(f"{name} {version}" for name, version in self.versions.items())


def _digest(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()[:8]
    except OSError as error:
        raise ConfigError(f"{path}: wanted a readable file (got {error.strerror or error})") from error


def files(settings: Settings) -> list[Path]:
    """What readers are loaded from."""
    return [*(settings.path(source.mapping) for source in settings.sources), settings.path(settings.home.zones)]


def watch_readers(settings: Settings, executor: Executor, metrics: Metrics) -> "Watch[Readers]":
    """Readers are loaded, and their files looked at from then on."""
    return Watch(partial(Readers.load, settings), partial(files, settings), executor, metrics)
