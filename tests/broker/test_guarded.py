"""Kafka with TLS, SCRAM and an access control list: each user can do its work, and nothing else."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.broker import TopicPartition
from detector.broker.access import WHO, access_markdown, bindings, command_lines, grants, principals
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import check_topics
from detector.cli import main
from detector.config import ROOT, Settings, load
from detector.errors import ConfigError, DetectorError
from tests.broker import guarded
from tests.broker.guarded import Guarded
from tests.service.harness import RECORDS, settings_tree, traffic

GROUP = "guarded"
SIZE = 3_000
LIMIT_S = 90.0
REFUSED_S = 1.0
"""A client that sends nothing has asked for its producer id by then, and was refused."""
AUTHORIZATION = r"(?i)authoriz"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A guarded Kafka, whose list is that of the deployment `GROUP`."""
    with guarded.running(tmp_path_factory.mktemp("certificates"), GROUP) as running:
        yield running


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalKafka, Path]]:
    """A Kafka that knows clients by their certificates, and the certificates."""
    certificates = guarded.make_certificates(tmp_path_factory.mktemp("mutual"))
    with LocalKafka(guard=guarded.mutual_guard(certificates)) as running:
        yield running, certificates


@pytest.fixture(scope="module")
def folder(kafka: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of each user; topics are made by the one who may."""
    folder = tmp_path_factory.mktemp("deployment")
    for who in WHO:
        tree = deployment(folder, kafka.options(who))
        (folder / f"{who}.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    # Nobody else reads it: an administrator comes by the plain address.
    plain = deployment(folder, {"bootstrap.servers": kafka.kafka.address})
    (folder / "administrator.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    assert main(["acls", "--apply", "--config", str(folder / "administrator.yaml")]) == 0
    assert main(["topics", "create", "--config", str(folder / "deploy.yaml")]) == 0
    return folder


def deployment(folder: Path, kafka: dict[str, str]) -> dict[str, object]:
    """Its settings, with all that asks for rights: heartbeats too."""
    tree = settings_tree(folder, **kafka) | {"group": GROUP}
    tree["ingest"] |= {"heartbeat_s": 1}  # type: ignore[operator]
    return tree


def settings_of(folder: Path, who: str) -> Settings:
    """Of one user."""
    return load(folder / f"{who}.yaml", {})


def until(condition: Callable[[], bool], processes: dict[str, "subprocess.Popen[bytes]"], folder: Path) -> None:
    """The condition holds; fails when a process ends by itself, or after the limit."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        for role, process in processes.items():
            assert process.poll() is None, (folder / f"{role}.log").read_text(encoding="utf-8")
        assert time.monotonic() < end, [(folder / f"{role}.log").read_text(encoding="utf-8") for role in processes]
        time.sleep(0.1)


def messages(broker: KafkaBroker, topic: str) -> list[bytes]:
    """The values on a topic."""
    places = [TopicPartition(topic, q) for q in range(broker.partitions()[topic])]
    return [message.value() or b"" for at in places for message in broker.read(at, *broker.watermarks(at))]


@pytest.mark.kafka
@pytest.mark.slow
def test_the_deployment_works_under_its_list_and_no_other_right(
    kafka: Guarded, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Switch, ingest, detect, operator, analyst and enforcement, each with its own password: from record to release."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "0"}
    processes = {}
    for role in ("ingest", "detect"):
        with (folder / f"{role}.log").open("wb") as log:
            command = [sys.executable, "-m", "detector.cli", role, "--config", str(folder / f"{role}.yaml")]
            processes[role] = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment)
    try:
        with (
            closing(KafkaBroker(kafka.kafka_options("switch"))) as switch,
            closing(KafkaBroker(kafka.kafka_options("analyst"))) as analyst,
        ):
            switch.publish(RECORDS, [(None, value) for value in [*traffic(SIZE), b"no record"]])
            until(lambda: len(messages(analyst, "rejects")) == 1, processes, folder)
            until(lambda: bool(messages(analyst, "decisions")), processes, folder)
            operator = str(folder / "operator.yaml")
            asked = ["release", "+999712345678", "--reason", "a bank", "--actor", "eva", "--config", operator]
            assert main(asked) == 0
            until(lambda: any(b"+999712345678" in value for value in messages(analyst, "decisions")), processes, folder)
            why = ["--reason", "a wrong rule", "--actor", "eva", "--config", operator]
            assert main(["mode", "flag", "--wait", "5", *why]) == 0
            assert main(["release", "--where", "action=block", "--yes", *why]) == 0
            until(lambda: bool(messages(analyst, "heartbeats")), processes, folder)
            assert (
                main(["decisions", "tail", "--from-beginning", "--no-follow", "--config", _path(folder, "analyst")])
                == 0
            )
            assert "+999712345678" in capfd.readouterr().out
        with closing(KafkaBroker(kafka.kafka_options("enforcement"))) as enforcement:
            assert messages(enforcement, "decisions")
    finally:
        for process in processes.values():
            process.terminate()
        codes = {role: process.wait(60) for role, process in processes.items()}
    assert codes == {"ingest": 0, "detect": 0}
    for role in processes:
        said = (folder / f"{role}.log").read_text(encoding="utf-8")
        assert "uthorization" not in said, said
    assert main(["topics", "check", "--config", _path(folder, "deploy")]) == 0
    assert main(["audit", "--config", _path(folder, "analyst")]) == 0


def _path(folder: Path, who: str) -> str:
    return str(folder / f"{who}.yaml")


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("who", "topic"),
    [
        ("switch", "events.by-number"),
        ("ingest", "decisions"),
        ("detect", "commands"),
        ("operator", "decisions"),
        ("analyst", "commands"),
        ("enforcement", "commands"),
        ("labeller", "decisions"),
        ("deploy", "events.by-number"),
    ],
)
def test_nobody_writes_what_is_not_his(kafka: Guarded, folder: Path, who: str, topic: str) -> None:
    """A switch whose password is stolen blocks nobody."""
    with closing(KafkaBroker(kafka.kafka_options(who))) as broker, pytest.raises(DetectorError, match=AUTHORIZATION):
        broker.publish(topic, [(None, b"x")], 0)


@pytest.mark.kafka
def test_a_client_that_was_refused_closes_in_peace(kafka: Guarded, folder: Path) -> None:
    """The refusal is heard by whoever asks the client next, which may be the one that closes it."""
    with closing(KafkaBroker(kafka.kafka_options("deploy"))) as broker:
        broker.partitions()  # so that publishing nothing asks for nothing, and is done before the refusal comes
        broker.publish("events.by-number", [], 0)
        time.sleep(REFUSED_S)


@pytest.mark.kafka
@pytest.mark.parametrize(("who", "topic"), [("switch", RECORDS), ("ingest", "rejects")])
def test_nobody_reads_what_is_not_his(kafka: Guarded, folder: Path, who: str, topic: str) -> None:
    """Records of calls least of all: who may write them may not read them. It is said at once."""
    with closing(KafkaBroker(kafka.kafka.options)) as administrator:
        administrator.publish(topic, [(b"key", b"x")], 0)
    with closing(KafkaBroker(kafka.kafka_options(who))) as broker, pytest.raises(DetectorError, match=AUTHORIZATION):
        list(broker.read(TopicPartition(topic, 0), 0, 1))


@pytest.mark.kafka
def test_topics_that_may_not_be_seen_are_said_to_be_so(kafka: Guarded, folder: Path) -> None:
    """Else somebody would make them again, in vain."""
    settings = settings_of(folder, "operator")
    hidden = r"no topic .*\(or this user may not describe it: `detector acls`\)"
    with closing(KafkaBroker(settings.kafka)) as broker, pytest.raises(ConfigError, match=hidden):
        check_topics(broker, settings)


def ends_with(kafka: dict[str, Any], folder: Path, role: str) -> tuple[int, list[str]]:
    """Exit code and lines of a role that is started with these options and must end by itself."""
    path = folder / f"refused-{role}.yaml"
    path.write_text(yaml.safe_dump(settings_tree(folder) | {"group": GROUP, "kafka": kafka}), encoding="utf-8")
    command = [sys.executable, "-m", "detector.cli", role, "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=LIMIT_S)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.kafka
@pytest.mark.parametrize("role", ["ingest", "detect"])
def test_a_wrong_password_ends_the_process_with_one_clear_error(
    kafka: Guarded, folder: Path, tmp_path: Path, role: str
) -> None:
    """The last line names the settings, what was wanted and what was got; the password stands nowhere."""
    code, lines = ends_with(kafka.options(role) | {"sasl.password": "wrong-one"}, tmp_path, role)
    assert code == 2
    assert "kafka: sasl.username and sasl.password: wanted a user and password" in lines[-1]
    assert f"got a refusal of '{GROUP}-{role}'" in lines[-1]
    assert sum("CRITICAL" in line for line in lines) == 1
    assert "wrong-one" not in "".join(lines)


@pytest.mark.kafka
def test_an_expired_certificate_ends_the_process_with_one_clear_error(tmp_path: Path) -> None:
    """It says that the broker's certificate has expired, which librdkafka does not."""
    with guarded.running(tmp_path / "certificates", GROUP, guarded.yesterday()) as kafka:
        code, lines = ends_with(kafka.options("ingest"), tmp_path, "ingest")
    assert code == 2
    assert "kafka: TLS with localhost:" in lines[-1]
    assert "(got: the broker's certificate has expired)" in lines[-1]
    assert sum("CRITICAL" in line for line in lines) == 1


@pytest.mark.kafka
@pytest.mark.parametrize("role", ["ingest", "detect"])
def test_an_expired_certificate_of_our_own_ends_the_process_with_one_clear_error(
    mutual: tuple[LocalKafka, Path], tmp_path: Path, role: str
) -> None:
    """It says that it is ours: the broker tells clients only that it does not take it."""
    code, lines = ends_with(guarded.mutual_options(*mutual, "expired"), tmp_path, role)
    assert code == 2
    assert "kafka: TLS with localhost:" in lines[-1]
    assert "(got: our own certificate has expired: " in lines[-1]
    assert str(mutual[1] / "expired.pem") in lines[-1]
    assert sum("CRITICAL" in line for line in lines) == 1


@pytest.mark.kafka
def test_a_certificate_of_our_own_that_is_missing_or_valid(mutual: tuple[LocalKafka, Path]) -> None:
    """Without one a broker that asks for it refuses; with a valid one it lets in."""
    options = guarded.mutual_options(*mutual, "valid")
    with closing(KafkaBroker({**options})) as broker:
        assert broker.partitions() == {}
    without = {name: value for name, value in options.items() if not name.startswith(("ssl.certificate", "ssl.key"))}
    wanted = r"TLS with localhost:.*\(got: the broker wants one of ours, and ssl\.certificate\.location names none: "
    with closing(KafkaBroker({**without})) as broker, pytest.raises(ConfigError, match=wanted):
        broker.partitions()


@pytest.mark.kafka
def test_a_certificate_that_nobody_vouches_for_ends_the_process(kafka: Guarded, tmp_path: Path) -> None:
    """Whoever answers at the broker's address is not the broker."""
    others = guarded.make_certificates(tmp_path / "others")
    code, lines = ends_with(kafka.options("ingest") | {"ssl.ca.location": str(others / "ca.pem")}, tmp_path, "ingest")
    assert code == 2
    assert "(got: the broker's " in lines[-1]
    assert "certificate" in lines[-1]


def production(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The example that ships."""
    for variable in ("KAFKA_USERNAME", "KAFKA_PASSWORD", "DETECTOR_HOLD_OUT_KEY", "HOSTNAME"):
        monkeypatch.setenv(variable, "x")
    return load(ROOT / "configs" / "production.example.yaml")


def test_the_documented_list_is_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/acls.md holds what `detector acls --markdown` prints for the example of production."""
    text = Path(ROOT, "docs", "acls.md").read_text(encoding="utf-8")
    begin, end = "<!-- acls:begin -->\n", "<!-- acls:end -->"
    assert text.split(begin)[1].split(end)[0].strip() == access_markdown(production(monkeypatch))
    assert [who for who, what in WHO.items() if f"| {who} | {what} |" not in text] == []


def test_every_entry_is_a_line_of_kafkas_own_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many operations in both forms; principals as they are given."""
    settings = production(monkeypatch)
    names = principals(settings, {"ingest": "User:CN=ingest"})
    lines = command_lines(settings, names)
    assert len(lines) == len(grants(settings))
    assert sum(line.count("--operation ") for line in lines) == len(bindings(settings, names))
    prefixed = "--transactional-id detector-ingest- --resource-pattern-type prefixed"
    assert f"--add --allow-principal User:CN=ingest --operation Write {prefixed}" in lines


def test_a_principal_for_nobody_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With the names that there are."""
    command = ["acls", "--principal", "ingress=User:x", "--config", str(ROOT / "configs" / "local.yaml")]
    assert main(command) == 2
    assert "--principal: wanted one of deploy, ingest" in capsys.readouterr().err
