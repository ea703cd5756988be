"""The status page, as a browser shows it."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from detector.admin.page import POLICY, health, masked
from detector.admin.rates import Figure, Rates, Stillness
from detector.admin.told import PartitionTold
from detector.metrics import Metrics
from tests.admin.world import World, world

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LOOKS_S = 120


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("page"), a_second=1e6, burst=10**6) as running:
        yield running


class Reader(HTMLParser):
    """Every start tag with its attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_the_page_asks_for_nothing_else(here: World) -> None:
    """No script, no picture, no font, no link; and a browser is told to allow none."""
    status, html, headers = here.ask("/", "viewer")
    page = Reader(html)
    assert status == 200
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "dl", "div", "dt", "dd"),
        *("table", "thead", "tbody", "tr", "th", "td", "small"),
    }
    assert not [attrs for _, attrs in page.tags if attrs.keys() & {"src", "href", "style", "onload", "action"}]
    assert headers["content-security-policy"] == POLICY
    assert "default-src 'none'" in POLICY


def test_the_page_tells_what_the_api_tells(here: World) -> None:
    """Every partition with its offset, and how many blocks are in force."""
    told = here.ask("/v1/partitions", "viewer")[1]
    text = Reader(here.ask("/", "viewer")[1]).text
    assert told["model"] in text
    for one in told["partitions"]:
        assert f"{one['offset']:,}" in text
    blocks = sum(one["in_force"].get("block", 0) for one in told["partitions"])
    assert re.search(rf"blocks in force\s+{blocks:,}\b", text)


def test_each_reason_of_a_decision_is_a_line_below_it(here: World) -> None:
    """The rule's words stand first; two of the model's reasons below them."""
    one = here.detect._recent[-1]
    html = here.ask("/", "viewer")[1]
    lines = "".join(f"<small>{escape(reason.sentence)}</small>" for reason in one.reasons[:2])
    assert len(one.reasons) >= 2
    assert f'<td class="l">{escape(one.reason)}{lines}</td>' in html


@pytest.mark.parametrize(
    ("lag_s", "wanted"),
    [
        (0.4, Figure("lag of detect", "0.4 s")),
        (61.0, Figure("lag of detect", "61.0 s", is_bad=True)),
        (150.0, Figure("lag of detect", "2 min", is_bad=True)),
        (3 * 3_600.0, Figure("lag of detect", "3 h", is_bad=True)),
        (1_620_209.9, Figure("lag of detect", "19 d", is_bad=True)),
    ],
)
def test_a_lag_is_told_in_a_unit_that_is_read_at_a_glance(lag_s: float, wanted: Figure) -> None:
    """Above a minute it is worth a look, and looks so."""
    metrics = Metrics()
    metrics.lag_seconds.labels("detect").set(lag_s)
    assert list(Rates(metrics.registry).figures(0.0)) == [wanted]


def test_a_lag_grows_while_what_waits_is_not_got_at() -> None:
    """It is set by batches, and there are none; with nothing waiting it is a quiet night."""
    metrics, clock = Metrics(), [1_000.0]
    rates = Rates(metrics.registry, lambda: clock[0])
    metrics.lag_seconds.labels("detect").set(2.0)
    metrics.last_batch_timestamp.labels("detect").set(999.0)
    waiting = metrics.lag_records.labels("detect", "events.by-number", "3")
    waiting.set(0)
    clock[0] = 1_600.0
    assert list(rates.figures(0.0)) == [
        Figure("lag of detect", "2.0 s"),
        Figure("waiting for detect", "0"),
        Figure("last batch of detect", "10 min"),
    ]
    waiting.set(700)
    assert list(rates.figures(0.0)) == [
        Figure("lag of detect", "10 min", is_bad=True),
        Figure("waiting for detect", "700"),
        Figure("last batch of detect", "10 min", is_bad=True),
    ]


def test_a_partition_that_is_not_got_at_is_not_well(here: World) -> None:
    """Its offset is its commit where an open transaction lets nobody read on: what waits tells."""
    partitions = here.ask("/v1/partitions", "viewer")[1]["partitions"]
    q = partitions[-1]["partition"]

    def row() -> str:
        html: str = here.ask("/", "viewer")[1]
        return next(part for part in html.split("<tr>") if part.startswith(f'<td class="">{q}</td>'))

    gauge = here.metrics.lag_records
    assert '<td class="l good">well</td>' in row()
    gauge.labels("detect", "events.by-number", str(q)).set(1e6)
    try:
        found = row()
    finally:
        gauge.clear()
    assert '<td class="l bad">falls behind</td>' in found
    assert "1,000,000" in found


@pytest.mark.parametrize(
    ("waiting", "still_s", "wanted"),
    [(0, 1e6, "well"), (9, 29.0, "well"), (9, 31.0, "stands still"), (10_001, 0.0, "falls behind")],
)
def test_how_a_partition_does(waiting: int, still_s: float, wanted: str) -> None:
    """A quiet one may stand; a busy one may have something waiting; not both for long."""
    one = PartitionTold(0, 5, 5, 0, 0, 0, 0, 0.0, 1, {}, {})
    assert health(one, waiting, still_s) == wanted


def test_stillness_is_told_by_looks() -> None:
    """A partition that moves, or has come anew, begins again."""
    still = Stillness()
    assert still.look(0.0, {0: 5, 1: 7}) == {0: 0.0, 1: 0.0}
    assert still.look(40.0, {0: 5, 1: 8}) == {0: 40.0, 1: 0.0}
    assert still.look(50.0, {1: 8}) == {1: 10.0}
    assert still.look(60.0, {0: 5, 1: 8}) == {0: 0.0, 1: 20.0}


def test_a_viewer_does_not_see_whole_numbers(here: World) -> None:
    """An analyst does, in the same rows."""
    numbers = {one.number for one in here.detect._recent}
    seen = {role: Reader(here.ask("/", role)[1]).text for role in ("viewer", "analyst")}
    shown = [number for number in numbers if number in seen["analyst"]]
    assert shown
    for number in shown:
        assert number not in seen["viewer"]
        assert masked(number) in seen["viewer"]


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        ("+999712345678", "+99971234····"),
        ("+999712345678@7", "+99971234····@7"),
        ("short:611", "short····"),
        ("+61", "+··"),
    ],
)
def test_a_number_is_masked_at_its_end(number: str, wanted: str) -> None:
    """The range and the trunk group stay."""
    assert masked(number) == wanted


def test_what_others_wrote_is_shown_as_text(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender id or a rule's text that is HTML stays what it is."""
    evil = '<script>alert("1")</script>'
    one = replace(here.detect._recent[-1], number=f"sender:{evil}", reason=evil, rule="<b>x", basis="analytics")
    monkeypatch.setattr(here.detect, "_recent", [one])
    html = here.ask("/", "analyst")[1]
    assert "<script" not in html
    assert "<b>" not in html
    assert evil in Reader(html).text


def chromium(url: str, *options: str) -> str:
    """What a browser says that shows `url`."""
    assert CHROMIUM
    argv = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--incognito"]
    done = subprocess.run([*argv, *options, url], capture_output=True, text=True, timeout=LOOKS_S, check=True)
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")
def test_a_browser_shows_the_page(tmp_path: Path) -> None:
    """Without tokens, on the machine itself: the document is the one that was sent, and it can be painted."""
    with world(tmp_path, with_tokens=False) as running:
        dom = chromium(f"{running.server.url}/", "--dump-dom", f"--user-data-dir={tmp_path / 'profile'}")
        page = Reader(dom)
        told: Any = running.ask("/v1/partitions", None)[1]
        picture = tmp_path / "status.png"
        size = "--window-size=1300,1100"
        chromium(f"{running.server.url}/", f"--screenshot={picture}", size, f"--user-data-dir={tmp_path / 'profile'}")
    rows = [tag for tag, _ in page.tags].count("tr")
    assert rows >= 1 + len(told["partitions"]) + 1
    assert "Partitions held here" in page.text
    assert picture.read_bytes()[:4] == b"\x89PNG"
