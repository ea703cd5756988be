"""A real Prometheus on this machine, for tests and rehearsals: fetched once, as Kafka is.

fetch -> .prometheus/…/usr/bin -> promtool, for the rules
                               -> LocalPrometheus, which scrapes processes and answers queries
"""

import atexit
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from detector.config import ROOT
from detector.errors import ConfigError, Fatal
from loadtest.throughput import free_ports

CACHE: Final = ROOT / ".prometheus"
PACKAGE: Final = "prometheus"
TOOLS: Final = ("prometheus", "promtool")
START_S: Final = 30.0
STOP_S: Final = 10.0
ANSWER_S: Final = 10.0


def missing_tools() -> list[str]:
    """What it takes to fetch it, and is not on the path; nothing where it is installed."""
    if all(map(shutil.which, TOOLS)):
        return []
    return [name for name in ("apt-get", "dpkg") if shutil.which(name) is None]


def fetch() -> Path:
    """The folder of `prometheus` and `promtool`: the system's, or Debian's package, unpacked in `.prometheus/`.

    Nothing is installed, and no right of root is needed.
    """
    found = shutil.which("promtool")
    if found and shutil.which("prometheus"):
        return Path(found).parent
    folder = CACHE / "root"
    if not folder.is_dir():
        if missing := missing_tools():
            raise ConfigError(f"wanted prometheus and promtool on the path, or Debian's apt-get (got no {missing[0]})")
        CACHE.mkdir(parents=True, exist_ok=True)
        # Renamed when complete: an interrupted download leaves nothing that looks like a Prometheus.
        with tempfile.TemporaryDirectory(dir=CACHE) as partial:
            _download(Path(partial))
            package = next(Path(partial).glob("*.deb"))
            _run(["dpkg", "-x", str(package), "root"], Path(partial))
            try:
                Path(partial, "root").rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was quicker
                    raise
    return folder / "usr" / "bin"


def _download(folder: Path) -> None:
    """The package stands in `folder`; where the machine has no list of packages, one is fetched beside it."""
    try:
        _run(["apt-get", "download", PACKAGE], folder)
    except ConfigError:
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        options = {"Dir::State::lists": folder / "lists", "Dir::Cache": folder / "cache", "Debug::NoLocking": 1}
        apt = ["apt-get", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
        _run([*apt, "update"], folder)
        _run([*apt, "download", PACKAGE], folder)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(f"{' '.join(command)}: wanted Debian's package {PACKAGE}:\n{done.stdout}{done.stderr}")


def promtool(*arguments: str) -> str:
    """What promtool says; raises `Fatal` with it where it is not content."""
    done = subprocess.run([str(fetch() / "promtool"), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Fatal(f"promtool {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Value(NamedTuple):
    """One series of an answer."""

    labels: Mapping[str, str]
    value: float


class LocalPrometheus:
    """Runs while in its `with` block, and scrapes `targets` (host:port) every second under the job `detector`."""

    def __init__(self, folder: Path, targets: Sequence[str], rules: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._port = free_ports(1)
        self.url: Final = f"http://127.0.0.1:{self._port}"
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "prometheus.yml"
        tree = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path.resolve()) for path in rules],
            "scrape_configs": [{"job_name": "detector", "static_configs": [{"targets": list(targets)}]}],
        }
        self._config.write_text(yaml.safe_dump(tree), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API; `Fatal` with its words where it refuses."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        try:
            with urlopen(f"{self.url}/api/v1/{path}{query}", timeout=ANSWER_S) as answer:
                return json.load(answer)["data"]
        except URLError as error:
            words = error.read().decode() if hasattr(error, "read") else str(error)
            raise Fatal(f"Prometheus, {path} {parameters}: {words}") from error

    def query(self, expression: str) -> list[Value]:
        """The instant vector of an expression, now."""
        result = self.ask("query", query=expression)["result"]
        return [Value(series["metric"], float(series["value"][1])) for series in result]

    def __enter__(self) -> "LocalPrometheus":
        command = [str(fetch() / "prometheus"), f"--config.file={self._config}"]
        command += [f"--web.listen-address=127.0.0.1:{self._port}", f"--storage.tsdb.path={self._folder / 'data'}"]
        log_file = self._folder / "prometheus.log"
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        atexit.register(self._process.kill)
        until = time.monotonic() + START_S
        while True:
            if self._process.poll() is not None or time.monotonic() > until:
                self.__exit__(None, None, None)
                raise Fatal(f"Prometheus does not answer:\n{log_file.read_text(encoding='utf-8', errors='replace')}")
            try:
                with urlopen(f"{self.url}/-/ready", timeout=1.0):
                    return self
            except OSError:
                time.sleep(0.1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        atexit.unregister(self._process.kill)
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
