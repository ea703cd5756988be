"""Build: the peers' programs, fetched and compiled once into a folder of caches.

Python peers get a virtual environment of their own, from PyPI: their dependencies are none of ours. Maven compiles the
others and copies their jars. What is there is named after a hash of its sources, so a change builds it again.
"""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from detector.broker.local import CACHE, missing_tools
from detector.errors import ConfigError
from loadtest.command import say

PEERS: Final = Path(__file__).parent
BUILT: Final = CACHE / "peers"
"""Where programs are kept unless the command is told otherwise: ignored by git, and gone with `make clean`."""
LIMIT_S: Final = 600.0
"""Of one fetch or compilation: half a minute on a good line."""


def check_tools(*, java: bool, python: bool) -> None:
    """Raises `ConfigError` naming what is missing; nothing has been started then."""
    missing = missing_tools() if java else []
    if missing:
        raise ConfigError(f"these peers need Java 17 and Maven on the path (not found: {', '.join(missing)})")
    if python and importlib.util.find_spec("ensurepip") is None:
        raise ConfigError("Quix Streams needs pip in an environment of its own (not found: Python's module ensurepip)")


def python_of(folder: Path, peer: str) -> Path:
    """The interpreter that has what `peer/requirements.txt` asks for."""
    requirements = PEERS / peer / "requirements.txt"
    made = folder / f"{peer}-{_hash([requirements], sys.version)}"
    python = made / "bin" / "python"
    complete = made / "complete"
    # A virtual environment cannot be renamed as a folder of jars can: a file says that nothing is missing from it.
    if not complete.exists():
        say(f"fetching {peer} from PyPI into {made}")
        _run(peer, [sys.executable, "-m", "venv", "--clear", str(made)])
        _run(peer, [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)])
        complete.touch()
    return python


def classpath_of(folder: Path, peer: str) -> str:
    """The Java class path that holds the peer's classes and the engine's jars."""
    pom = PEERS / peer / "pom.xml"
    sources = [pom, *sorted(PEERS.glob("java/*.java")), *sorted(PEERS.glob(f"{peer}/src/*.java"))]
    made = folder / f"{peer}-{_hash(sources)}"
    if not made.is_dir():
        say(f"compiling {peer} into {made}")
        folder.mkdir(parents=True, exist_ok=True)
        # Renamed when complete: an interrupted build leaves nothing that looks like a whole one.
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            partial = Path(temporary, "built")
            goals = ["compile", "dependency:copy-dependencies"]
            places = [f"-Dpeers.build={partial}", f"-DoutputDirectory={partial / 'jars'}"]
            _run(peer, ["mvn", "-q", "-B", "-f", str(pom), *goals, *places])
            partial.rename(made)
    return f"{made / 'classes'}:{made / 'jars'}/*"


def _hash(files: Sequence[Path], more: str = "") -> str:
    return hashlib.sha256(b"\0".join([*(file.read_bytes() for file in files), more.encode()])).hexdigest()[:12]


def _run(peer: str, command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"{peer}: `{command[0]}` was not done after {LIMIT_S:.0f} s") from error
    if done.returncode != 0:
        raise ConfigError(f"{peer}: `{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
