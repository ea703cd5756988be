"""A real Apache Kafka on this machine: one node, one JVM, for tests, load tests and trying things out.

`kafka/pom.xml` says which Kafka; Maven copies its jars into `.kafka/` once. `python -m
detector.broker.local` runs it in the foreground until Ctrl-C.
"""

import argparse
import atexit
import hashlib
import logging
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from detector.broker.kafka import KafkaBroker
from detector.config import ROOT
from detector.errors import ConfigError, DetectorError, Fatal, Recoverable

KAFKA: Final = ROOT / "kafka"
CACHE: Final = ROOT / ".kafka"
PORT: Final = 9092
START_S: Final = 60.0
"""A start takes 4 to 8 s; this much on a machine that is busy."""
JVM: Final = (
    "-Xms256m",
    # The first compiler alone. The second one goes on for minutes, which a broker that runs for months never notices:
    # over a backlog of a million records it took 1.6 s of processor time where the broker's work itself took 2.4, and
    # after five million its code was no faster than the first one's.
    "-XX:TieredStopAtLevel=1",
)
STOP_S: Final = 30.0


def missing_tools() -> list[str]:
    """The programs that a local Kafka needs and that are not on the path."""
    return [name for name in ("java", "mvn") if shutil.which(name) is None]


def fetch() -> Path:
    """The folder that holds the jars of `kafka/pom.xml`, filled on first use and whenever the file changes."""
    pom = KAFKA / "pom.xml"
    folder = CACHE / f"jars-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    if missing := missing_tools():
        raise ConfigError(f"a local Kafka needs Java 17 and Maven on the path (not found: {', '.join(missing)})")
    CACHE.mkdir(parents=True, exist_ok=True)
    # Renamed when complete: an interrupted download leaves nothing that looks like a Kafka.
    with tempfile.TemporaryDirectory(dir=CACHE) as partial:
        jars = Path(partial, "jars")
        command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ConfigError(f"{pom}: Maven could not fetch Kafka:\n{done.stdout}{done.stderr}")
        try:
            jars.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was quicker
                raise
    return folder


@dataclass(frozen=True, slots=True)
class Guard:
    """How an address is guarded: properties of the broker, and users that are there from the first start on."""

    properties: Mapping[str, str]
    format_options: tuple[str, ...] = ()


class LocalKafka:
    """A running Kafka while in its `with` block; `address` is what clients connect to.

    `port` 0 takes a free one. Its data is in `data`, or in a folder of its own that goes with it.
    Whoever connects to `behind_proxy` is told to go on to `proxy_port`: a proxy's, which leads back here.
    With a `guard` there is another address, `guarded`, where only who the guard knows comes in, and may do only what
    the access control list says; whoever comes by `address` may do everything.
    """

    def __init__(
        self,
        port: int = 0,
        data: Path | None = None,
        heap: str = "1g",
        proxy_port: int = 0,
        guard: "Guard | None" = None,
    ) -> None:
        self._java = ["java", *JVM, f"-Xmx{heap}", f"-Dlog4j2.configurationFile={KAFKA / 'log4j2.properties'}"]
        self._java += ["-cp", f"{fetch()}/*"]
        self._temporary = tempfile.TemporaryDirectory(prefix="kafka-") if data is None else None
        self.data = Path(self._temporary.name) if self._temporary else Path(data or "").resolve()
        self._process: subprocess.Popen[bytes] | None = None
        port, controller = (port or _free_port()), _free_port()
        self.address = f"127.0.0.1:{port}"
        self.behind_proxy = _free_port() if proxy_port else 0
        self.guarded = f"localhost:{_free_port()}" if guard else ""
        self._format_options = guard.format_options if guard else ()
        second = f",PROXIED://127.0.0.1:{self.behind_proxy}" if proxy_port else ""
        advertised = f",PROXIED://127.0.0.1:{proxy_port}" if proxy_port else ""
        if guard:
            second += f",GUARDED://{self.guarded}"
            advertised += f",GUARDED://{self.guarded}"
        self._properties = self.data / "server.properties"
        self.data.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(
            (KAFKA / "server.properties").read_text()
            + f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{second}\n"
            + f"advertised.listeners=PLAINTEXT://{self.address}{advertised}\n"
            + f"controller.quorum.voters=1@127.0.0.1:{controller}\n"
            + f"log.dirs={self.data / 'log'}\n"
            + "".join(f"{name}={value}\n" for name, value in (guard.properties if guard else {}).items())
        )
        self.options: dict[str, str | int | float | bool] = {"bootstrap.servers": self.address}

    @property
    def pid(self) -> int:
        """The process id of the running JVM, 0 where none runs."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start on what is in the data folder, and wait until it answers."""
        if not (self.data / "log" / "meta.properties").exists():
            cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            # A cluster id that begins with a hyphen would be read as an option.
            self._tool(
                "format",
                "--cluster-id",
                cluster.replace("-", "A"),
                "--config",
                str(self._properties),
                *self._format_options,
            )
        atexit.register(self.kill)
        with self.log_file.open("ab") as log:
            command = [*self._java, "kafka.Kafka", str(self._properties)]
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        broker = KafkaBroker({**self.options, "log_level": 0})
        deadline = time.monotonic() + START_S
        while True:
            if self._process.poll() is not None:
                raise Fatal(f"Kafka ended at its start; the end of {self.log_file}:\n{self._log_tail()}")
            try:
                broker.partitions()
            except Recoverable as error:
                if time.monotonic() > deadline:
                    self.kill()
                    raise Fatal(f"Kafka does not answer after {START_S:.0f} s:\n{self._log_tail()}") from error
                time.sleep(0.1)
            else:
                broker.close()
                return

    def stop(self) -> None:
        """Shut down in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again after `stop` or `kill`, or shut down first; same address, same data."""
        self.stop()
        self.start()

    def wait(self) -> int:
        """Wait until the process ends; its exit code."""
        return self._process.wait() if self._process else 0

    def _end(self, how: signal.Signals) -> None:
        atexit.unregister(self.kill)
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _tool(self, *arguments: str) -> None:
        command = [*self._java, "kafka.tools.StorageTool", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Fatal(f"kafka.tools.StorageTool {arguments[0]} failed:\n{done.stdout}{done.stderr}")

    @property
    def log_file(self) -> Path:
        """What Kafka writes on its console."""
        return self.data / "kafka.log"

    def _log_tail(self) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-20:])

    def __enter__(self) -> "LocalKafka":
        try:
            self.start()
        except DetectorError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._temporary:
            # Nothing in the folder is kept, so that an orderly shutdown would only take time.
            self.kill()
            self._temporary.cleanup()
        else:
            self.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Run a Kafka in the foreground; 0 after Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m detector.broker.local", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--port", type=int, default=PORT, help="port to listen on, 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--data", type=Path, help="folder to keep its data in; without it the data goes with the process"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # While it starts it does not answer: no news, and no warning.
    logging.getLogger("detector.broker.kafka").setLevel(logging.ERROR)
    try:
        with LocalKafka(arguments.port, arguments.data) as kafka:
            sys.stdout.write(f"Kafka answers at {kafka.address}; its log is {kafka.log_file}; Ctrl-C ends it\n")
            sys.stdout.flush()
            return kafka.wait()
    except KeyboardInterrupt:
        return 0
    except DetectorError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
