"""What the demo prints: for a terminal, for a pipe, for the README and for a program."""

import io
import json

import pytest
from rich.console import Console

from detector.demo.play import Played
from detector.demo.report import duration, example_of, markdown, print_report, to_json
from detector.demo.score import CampaignScore, Catch, Score, Touched
from detector.demo.screen import LivePanel, PlainLines, Status, open_screen
from tests.demo.stories import decision

CAUGHT = CampaignScore("wangiri", "overt", (Catch("+1", "block", 60.0, 3), Catch("+2", "flag", 120.0, 5)))
MISSED = CampaignScore("wangiri", "overt", (Catch("+3", "", 0.0, 40),))
SCORE = Score((CAUGHT,), (Touched("+999712345678", "courier", "flag", "r1", 0),))
PLAYED = Played((decision("+1", 1), decision("+2", 2, "block")), records=1_000, rejected=0, elapsed_s=2.0)


def printed(score: Score, played: Played) -> str:
    """The report as a pipe gets it."""
    console = Console(file=io.StringIO(), width=120)
    print_report(console, score, played, honest=400)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_report_shows_campaigns_honest_numbers_a_decision_and_totals() -> None:
    """All four, in this order."""
    text = printed(SCORE, PLAYED)
    parts = ["wangiri", "courier", '"decision_id"', "caught: 2 of 2; honest numbers touched: 1 of 400", "500 records/s"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_a_report_of_nothing_is_still_a_report() -> None:
    """No decision at all: no example, no honest number, and the campaigns as missed."""
    text = printed(Score((MISSED,), ()), Played((), 1_000, 0, 2.0))
    assert "caught: 0 of 1; honest numbers touched: 0 of 400" in text
    assert "decisions: none" in text


def test_markdown_puts_plays_together() -> None:
    """Numbers add up; medians run over all numbers caught; a play counts once among those with a catch."""
    text = markdown([SCORE, Score((MISSED,), ())])
    assert "| wangiri | overt | 3 | 1 | 1 | 1 | 90 s | 4 | 1 of 2 |" in text
    assert "median 0.5, most 1; of these blocked: median 0, most 0" in text


def test_json_holds_everything_of_a_play() -> None:
    """Seed, totals, and every number."""
    tree = json.loads(to_json(SCORE, PLAYED, seed=7))
    assert (tree["seed"], tree["records"], tree["records_per_s"]) == (7, 1_000, 500)
    assert tree["campaigns"][0]["catches"][0] == {"number": "+1", "action": "block", "delay_s": 60.0, "victims": 3}
    assert tree["touched"][0]["profile"] == "courier"


def test_a_block_is_the_example_where_there_is_one() -> None:
    """The newcomer sees what enforcement acts on."""
    assert example_of(PLAYED.decisions) is PLAYED.decisions[1]
    assert example_of(PLAYED.decisions[:1]) is PLAYED.decisions[0]
    assert example_of([]) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0 s"), (119.4, "119 s"), (120, "2 min"), (7_199, "120 min"), (9_000, "2.5 h")],
)
def test_durations_read_like_a_person_says_them(seconds: float | None, text: str) -> None:
    """Seconds for two minutes, minutes for two hours, then hours."""
    assert duration(seconds) == text


def test_a_pipe_gets_plain_lines_every_few_simulated_hours() -> None:
    """Four lines a simulated day, none while records wait, and no control characters."""
    console = Console(file=io.StringIO(), width=120)
    screen = open_screen(console)
    assert isinstance(screen, PlainLines)
    with screen:
        for hour in range(24):
            screen.show(Status(hour=hour, hours=24, records=10 * hour, elapsed_s=1.0, behind=5))
            screen.show(Status(hour=hour, hours=24, records=10 * hour, elapsed_s=1.0))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert [line.split(" records")[0].split()[-1] for line in lines] == ["0", "60", "120", "180"]
    assert "\x1b" not in console.file.getvalue()


def test_a_terminal_gets_a_live_panel() -> None:
    """The panel shows clock, rate, what is behind and the decisions by kind."""
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    screen = open_screen(console)
    assert isinstance(screen, LivePanel)
    status = Status(hour=3, hours=8, records=1_000, elapsed_s=2.0, behind=70)
    status.decided.update(block=2, flag=9)
    with screen:
        screen.show(status)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for part in ("500 records/s", "70 records", "9 flag, 2 block", "Thursday 01 January"):
        assert part in text
