"""Every command that talks to Kafka says within seconds, in one line, that its password is wrong."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import yaml

from detector.config import ROOT
from tests.broker import guarded
from tests.service.harness import settings_tree

GROUP: Final = "refused"
LIMIT_S: Final = 60.0
"""A command that has not ended by then hangs: one that does not look waits for a minute or for ever."""
AT_ONCE: Final = 3
WHY: Final = ("--reason", "a test", "--actor", "eva")
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "acls": ("acls", "--apply"),
    "archive": ("archive", "--dir", "archive", "--once"),
    "archive, for good": ("archive", "--dir", "for-good"),
    "audit": ("audit",),
    "audit, a time": ("audit", "--from", "2026-11-24T10:00Z", "--partition", "0"),
    "audit_sample": ("audit-sample", "--from-topic", "--out", "sample.csv"),
    "backtest": ("backtest", "--from", "0"),
    "decisions": ("decisions", "tail", "--no-follow"),
    "features": ("features", "--from-topic", "--out", "vectors.parquet"),
    "labels, export": ("labels", "export", "--out", "out.jsonl"),
    "labels, publish": ("labels", "publish", "labels.jsonl"),
    "labels, withdraw": ("labels", "withdraw", "+999712345678"),
    "listing": ("commands", "list"),
    "mode": ("mode", "flag", *WHY),
    "mode, kill": ("kill", *WHY),
    "operator": ("release", "+999712345678", *WHY),
    "operator, block": ("block", "+999712345678", *WHY),
    "operator, many": ("release", "--where", "rule=wangiri", "--yes", *WHY),
    "parity": ("parity", "--from-topic"),
    "roles, ingest": ("ingest",),
    "roles, detect": ("detect",),
    "roles, run": ("run",),
    "simulate": ("simulate", "--to", "kafka", "--numbers", "200", "--days", "1", "--source", "records"),
    "snapshots": ("snapshots", "verify"),
    "topics": ("topics", "check"),
    "topics, create": ("topics", "create"),
}
"""By the module in `detector/commands` that opens Kafka, and what is special."""
OF_THEIR_OWN: Final = {"common": "opens it for the others", "deployment": "that of `weekly`, on a Kafka that it starts"}
LABEL: Final = (
    '{"number": "+999712345678", "label": "fraud", "type": "wangiri", "active_from_ms": 1794187894864, '
    '"known_at_ms": 1794187894864, "source": "complaint"}\n'
)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    seconds: float
    out: str
    err: str


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, "Future[Ended]"]]:
    """All of them are run with a password that no user has, some at a time."""
    folder = tmp_path_factory.mktemp("refused")
    with guarded.running(folder / "certificates", GROUP) as kafka, ThreadPoolExecutor(AT_ONCE) as pool:
        tree = settings_tree(folder, **kafka.options("operator") | {"sasl.password": "wrong-one"}) | {"group": GROUP}
        config = folder / "refused.yaml"
        config.write_text(yaml.safe_dump(tree), encoding="utf-8")
        (folder / "labels.jsonl").write_text(LABEL, encoding="utf-8")

        def run(arguments: tuple[str, ...]) -> Ended:
            argv = [sys.executable, "-m", "detector.cli", *arguments, "--config", str(config)]
            began = time.monotonic()
            done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=folder, timeout=LIMIT_S)
            return Ended(done.returncode, time.monotonic() - began, done.stdout, done.stderr)

        yield {name: pool.submit(run, arguments) for name, arguments in COMMANDS.items()}


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_password_ends_a_command_with_one_clear_line(ended: Mapping[str, "Future[Ended]"], name: str) -> None:
    """Settings, wanted and got in its last line but for a supervisor's, exit code 2, no traceback, no password."""
    one = ended[name].result()
    print(f"{name}: {one.seconds:.1f} s")
    said = [line for line in one.err.splitlines() if "wanted a user and password" in line]
    assert one.code == 2, one.err
    assert len(said) == (2 if name == "roles, run" else 1), one.err
    assert f"got a refusal of '{GROUP}-operator'" in said[0]
    assert "Traceback" not in one.err
    assert "wrong-one" not in one.out + one.err


def test_every_command_that_opens_kafka_is_tried() -> None:
    """One that is added is added here."""
    modules = Path(ROOT, "detector", "commands").glob("*.py")
    opening = {path.stem for path in modules if "open_kafka(" in path.read_text(encoding="utf-8")}
    assert opening == {name.partition(",")[0] for name in COMMANDS} | OF_THEIR_OWN.keys()
