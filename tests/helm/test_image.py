"""The image's steps are run, and a release's pods in it, against a real Kafka.

What an engine and a kubelet would do is done by hand (`container.py`): the rest is real.
"""

import json
import socket
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.config import ROOT
from detector.learning.encode import encode
from detector.learning.simulate import Scenario, simulate
from tests.helm.container import Image, Pod, build, end, missing, stop_signal
from tests.helm.containerfile import FINAL
from tests.helm.rendering import NAME, ROLES, Rendered, render
from tests.ingest.tools import FIXTURES, reader_of

pytestmark = [pytest.mark.slow, pytest.mark.kafka]
WAIT_S = 120.0
USER = FINAL.last("USER")
SWITCHES = {
    path.stem: path for path in FIXTURES.iterdir() if (ROOT / "configs/sources" / f"{path.stem}.yaml").is_file()
}
"""A few records of every element that a mapping comes with: all of ingest's kernels have work."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Built once."""
    if why := missing():
        pytest.skip(f"containers cannot be made here: {why}")
    root = tmp_path_factory.mktemp("image")
    for folder in (root, *root.parents):
        folder.chmod(folder.stat().st_mode | 0o011)  # another user passes through
    built, said = build(root)
    assert any("compiled kernels" in one for one in said)
    return built


def kernels(folder: Path) -> set[str]:
    """Compiled kernels below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*.nbc")}


def wait_ready(port: int) -> float:
    """Seconds until the process at that port says that it is ready."""
    began = time.monotonic()
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/ready", timeout=5.0):
                return time.monotonic() - began
        except HTTPError as error:
            said = json.loads(error.read())["missing"]
        except OSError as error:
            said = str(error)
        assert time.monotonic() - began < WAIT_S, said
        time.sleep(0.2)


def counted(port: int, name: str) -> float:
    """The sum of a metric's series, or one that is given with its labels."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5.0) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def free_ports() -> int:
    """The first of two that are free."""
    for port in range(19_108, 20_108, 2):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two ports are free")


@pytest.fixture(scope="module")
def release(kafka: LocalKafka) -> Rendered:
    """Of topics of its own on the tests' Kafka, with a policy of its own."""
    topics = {name: f"chart.{name}" for name in ("events", "decisions", "history", "shadow", "commands", "control")}
    sources = [
        {
            "name": name,
            "id": i,
            "topic": f"chart.{name}",
            "mapping": f"/opt/detector/configs/sources/{name}.yaml",
            "max_future_s": None,
            "utc_offset_minutes": 0,
        }
        for i, name in enumerate(sorted(SWITCHES), start=1)
    ]
    return render(
        {
            "config": {
                "group": "chart",
                "kafka": {"bootstrap.servers": kafka.address},
                "topics": {**topics, "rejects": "chart.rejects", "partitions": 4, "replication": 1},
                "sources": sources,
                "verdict": {"mode": "flag", "assume_warm": True},
                "admin": {"host": "127.0.0.1", "port": free_ports()},
            },
        }
    )


def test_the_image_may_be_written_to_by_nobody(image: Image) -> None:
    """Its user has no capability, and the root is read-only: what the pods below prove holds under both."""
    status = image.run(["cat", "/proc/self/status"], FINAL.env, user=USER)
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split()[0] == USER.split(":")[0]
    assert {facts[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0000000000000000"}
    assert facts["NoNewPrivs"] == "1"
    for path in ("/opt/detector/x", "/tmp/x", f"{FINAL.env['NUMBA_CACHE_DIR']}/x"):
        with pytest.raises(AssertionError, match="Read-only file system"):
            image.run(["touch", path], FINAL.env, user=USER)


def test_the_image_says_what_it_can_do(image: Image) -> None:
    """Entry point and command."""
    assert "usage: detector" in image.run(["detector", "--help"], FINAL.env, user=USER)


@pytest.fixture
def pods(image: Image, release: Rendered, tmp_path: Path) -> dict[str, tuple[Pod, Path]]:
    """A pod of each role, begun, and where its log is to be."""
    made = {}
    for role in ROLES:
        pod = Pod(image, release, f"{NAME}-{role}", f"{NAME}-{role}-0", tmp_path / role, tmp_path / "claims")
        pod.begin()
        made[role] = (pod, tmp_path / f"{role}.log")
    return made


def test_a_release_works_from_its_topics_to_its_end(
    image: Image, release: Rendered, kafka: LocalKafka, pods: dict[str, tuple[Pod, Path]], tmp_path: Path
) -> None:
    """The job checks and makes topics; both roles become ready without compiling anything, decide, and drain; and who
    comes after them takes their snapshots.
    """
    job = Pod(image, release, f"{NAME}-topics", f"{NAME}-topics-x", tmp_path / "job", tmp_path / "claims")
    *_, checked = job.begin()
    assert "everything fits" in checked
    assert "chart.events: made with 4 partitions" in job.work()

    ports = {role: release.main(role)["ports"][0]["containerPort"] for role in ROLES}
    running = {role: pod.start(log) for role, (pod, log) in pods.items()}
    logs = {role: log for role, (_, log) in pods.items()}
    try:
        for role in ROLES:
            wait_ready(ports[role])
        broker = KafkaBroker(kafka.options)
        for name, path in SWITCHES.items():
            messages = reader_of(name).decoder.split(path.read_bytes())
            broker.publish(f"chart.{name}", [(None, message) for message in messages])
        records = encode(simulate(Scenario(numbers=1_000, days=1)).records)
        broker.publish("chart.plain", [(None, record) for record in records])
        broker.close()
        began = time.monotonic()
        while counted(ports["ingest"], "detector_records_total") < len(records) or 0 in (
            counted(ports["ingest"], f'detector_records_total{{source="{name}"}}') for name in SWITCHES
        ):
            assert time.monotonic() - began < WAIT_S, logs["ingest"].read_text()
            time.sleep(0.5)
        settled = 0.0
        while settled < (settled := counted(ports["ingest"], "detector_rows_out_total")):
            time.sleep(1.0)
        while counted(ports["detect"], "detector_rows_total") < settled:
            assert time.monotonic() - began < WAIT_S, logs["detect"].read_text()
            time.sleep(0.5)
        assert counted(ports["detect"], "detector_scored_total") > 0
        assert counted(ports["detect"], "detector_decisions_total") > 0
        codes = {role: end(process, stop_signal()) for role, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
    assert codes == {"ingest": 0, "detect": 0}
    for role, (pod, log) in pods.items():
        assert f"{role}-{NAME}-{role}-0-0: drained" in log.read_text()
        assert kernels(pod.volume("kernels")) == kernels(Path(f"{image.root}{FINAL.env['NUMBA_CACHE_DIR']}"))
    snapshots = pods["detect"][0].volume("snapshots")
    assert {path.parent.parent.name for path in snapshots.rglob("manifest.json")} == {"0", "1", "2", "3"}
    # Another pod of that name, as on another node: nothing of the old one is there but the claim.
    again = Pod(image, release, f"{NAME}-detect", f"{NAME}-detect-0", tmp_path / "again", tmp_path / "claims")
    again.begin()
    process = again.start(tmp_path / "again.log")
    try:
        wait_ready(ports["detect"])
        # Rows that a restore reads again count too: there were none.
        assert counted(ports["detect"], "detector_rows_total") == 0
        assert end(process, stop_signal()) == 0
    finally:
        process.kill()
    assert kernels(again.volume("kernels")) == kernels(Path(f"{image.root}{FINAL.env['NUMBA_CACHE_DIR']}"))
