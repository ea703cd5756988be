"""What the measuring commands read off processes: their metrics, and what they hold of the machine."""

import subprocess
import sys
import time
from pathlib import Path

from detector.admin import AdminServer, Probe
from detector.config import ROOT, load
from detector.metrics import Metrics
from loadtest.configuration import configure, reconfigure
from loadtest.scrape import scrape
from loadtest.vitals import vitals


def test_metrics_are_read_off_the_admin_port() -> None:
    """Sums over series, the values of a label, and the highest bucket of a histogram that holds anything."""
    metrics = Metrics()
    metrics.rows.labels("counted").inc(7)
    metrics.rows.labels("duplicate").inc(2)
    metrics.numbers.labels("3", "quiet").set(10)
    metrics.numbers.labels("5", "quiet").set(20)
    for seconds in (0.02, 0.3, 0.02):
        metrics.snapshot_seconds.observe(seconds)
    probe = Probe(metrics.registry, "test", time.time, dict)
    with AdminServer("127.0.0.1", 0, probe) as admin:
        told = scrape(admin.url)
    assert told.total("detector_rows_total") == 9
    assert told.total("detector_rows_total", status="duplicate") == 2
    assert told.total("detector_nothing_total") == 0
    assert told.label_values("detector_numbers", "partition") == {"3", "5"}
    assert told.at_most("detector_snapshot_seconds") == 0.5
    assert told.at_most("detector_transaction_seconds") is None
    assert told.at_most("detector_no_such_seconds") is None


def test_vitals_are_those_of_the_process_that_runs(tmp_path: Path) -> None:
    """Memory, handles and threads; of one that has gone, nothing, whether it was waited for or not."""
    code = "import sys, time; held = [open(sys.argv[1], 'w') for _ in range(40)]; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "file")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        held = vitals(process.pid)
        assert held is not None
        assert held.rss_bytes > 4_000_000
        assert 40 <= held.handles < 60
        assert held.threads == 1
        process.kill()
        process.stdout.read()
        assert vitals(process.pid) is None
    assert vitals(process.pid) is None


def test_a_run_is_configured_as_shipped_but_for_what_it_says(tmp_path: Path) -> None:
    """Sections keep the fields that are not named, and processes that start later follow the file as it is then."""
    path = configure(tmp_path, "127.0.0.1:7", "test", source={"max_future_s": 5}, detect={"snapshot_every_s": 2})
    settings = load(path, {})
    assert [source.topic for source in settings.sources] == ["records"]
    assert settings.sources[0].max_future_s == 5
    assert (settings.detect.snapshot_every_s, settings.detect.snapshots) == (2, str(tmp_path / "snapshots"))
    assert settings.path(settings.verdict.policy) == ROOT / "configs" / "policy.yaml"
    reconfigure(path, verdict={"mode": "enforce"})
    again = load(path, {})
    assert again.verdict.mode == "enforce"
    assert again.verdict.policy == settings.verdict.policy


def test_a_skewed_process_sees_another_time_whenever_its_file_says_so(tmp_path: Path) -> None:
    """Ahead, behind, and right again where the file says nothing."""
    code = (
        "import sys, time; from pathlib import Path; from loadtest.skewed import skew; path = Path(sys.argv[1])\n"
        "right = time.time; skew(path)\n"
        "for by in ('7200', '-7200', ''):\n"
        "    path.write_text(by)\n"
        "    print(round((time.time() - right()) / 60), round((time.time_ns() / 1e9 - right()) / 60))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "skew")], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == ["120", "120", "-120", "-120", "0", "0"]
