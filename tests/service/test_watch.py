"""Watch: whatever is written, and whenever, is in force in the end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from detector.errors import ConfigError
from detector.metrics import Metrics
from detector.service import watch
from detector.service.watch import Watch
from tests.service.simulation import Inline


class Text:
    """What a file says."""

    def __init__(self, text: str) -> None:
        self.text = text

    def told(self) -> str:
        return self.text


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that says `old`, looked at without a pause."""
    monkeypatch.setattr(watch, "LOOK_S", 0.0)
    (tmp_path / "file").write_text("old")
    return tmp_path / "file"


def watched(file: Path, load: Callable[[], Text]) -> Watch[Text]:
    return Watch(load, lambda: [file], Inline(), Metrics())


def taken(watch: Watch[Text], rounds: int) -> list[str]:
    """What it gives in so many rounds of the loop."""
    return [newer.text for newer in (watch.newer() for _ in range(rounds)) if newer is not None]


def test_what_is_written_while_the_first_is_loaded_is_taken_next(file: Path) -> None:
    """A release may come in just when a worker starts."""
    later = ["newer", "newest"]

    def load() -> Text:
        text = file.read_text()
        if later:
            file.write_text(later.pop(0))
        return Text(text)

    one = watched(file, load)
    assert one.in_force.text == "old"
    assert taken(one, 20) == ["newer", "newest"]


def test_what_cannot_be_loaded_is_tried_again_though_its_files_stay_as_they_are(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at every look: each attempt reads everything, and says that it failed."""
    monkeypatch.setattr(watch, "RETRY_LOOKS", 5)
    tries: list[str] = []

    def load() -> Text:
        tries.append(file.read_text())
        if 1 < len(tries) < 4:
            raise ConfigError("a volume was away")
        return Text(tries[-1])

    one = watched(file, load)
    file.write_text("newer")
    assert taken(one, 10) == []
    assert len(tries) == 3
    assert taken(one, 20) == ["newer"]
    assert len(tries) == 4
