"""Lists of numbers: each kind of entry, and whole batches at once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import ConfigError
from detector.records import parse_number
from detector.verdict.lists import NumberList

ENTRIES = """
# heading
+9992000111
+99930*        # a range
+99977*
+9997712*      # inside another
+9994000@7
short:611
short:00*
local:10*
sender:ACME
"""


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> NumberList:
    """The list above."""
    path = tmp_path_factory.mktemp("lists") / "list.txt"
    path.write_text(ENTRIES)
    return NumberList.load(path)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("+9992000111", True),
        ("+9992000111@7", True),
        ("+99920001110", False),
        ("+999200011", False),
        ("+99930", True),
        ("+999301234567890", True),
        ("+9993", False),
        ("+99931", False),
        ("+99977123", True),
        ("+9994000@7", True),
        ("+9994000@8", False),
        ("+9994000", False),
        ("short:611", True),
        ("short:6110", False),
        ("short:00", True),
        ("short:0099", True),
        ("short:0", False),
        ("local:1001@3", True),
        ("short:1001", False),
        ("sender:acme", True),
        ("sender:ACME@3", True),
        ("sender:ACNE", False),
    ],
)
def test_a_number_is_listed_by_itself_or_by_its_prefix(listed: NumberList, number: str, expected: bool) -> None:
    """An entry without a trunk group holds on every trunk group."""
    assert [expected] == listed.contains(np.array([parse_number(number)], np.uint64)).tolist()


@given(
    st.lists(st.from_regex(r"\+[1-9][0-9]{0,5}\*?", fullmatch=True), min_size=1, max_size=6),
    st.lists(st.from_regex(r"\+[1-9][0-9]{0,8}", fullmatch=True), min_size=1, max_size=30),
)
def test_a_batch_is_looked_up_as_one_by_one_with_texts(entries: list[str], numbers: list[str]) -> None:
    """The intervals say what the prefixes say."""
    expected = [any(n.startswith(e[:-1]) if e.endswith("*") else n == e for e in entries) for n in numbers]
    batch = np.array([parse_number(number) for number in numbers], np.uint64)
    assert expected == NumberList.of(tuple(entries)).contains(batch).tolist()


def test_an_empty_list_holds_nobody() -> None:
    """Nor does it fail."""
    assert not NumberList.of(()).contains(np.array([1, 2], np.uint64)).any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("+999\nhello\n", r"list.txt: line 2: wanted \+E164"),
        ("+99x*\n", r"list.txt: line 1: wanted digits between"),
        ("*\n", r"list.txt: line 1: wanted digits between"),
        ("sender:A*\n", r"list.txt: line 1: wanted digits between"),
        ("+999712345678@2000\n", r"list.txt: line 1: a trunk group or account is at most 1023"),
    ],
)
def test_a_line_that_is_no_number_is_refused(tmp_path: Path, content: str, message: str) -> None:
    """With file, line and what was wanted."""
    (tmp_path / "list.txt").write_text(content)
    with pytest.raises(ConfigError, match=message):
        NumberList.load(tmp_path / "list.txt")


@pytest.mark.parametrize("line", ["999712345678", "+999712345678@2000", "+999712345678x", "tel:+999712345678"])
def test_a_subscribers_number_that_is_written_wrongly_is_not_repeated(tmp_path: Path, line: str) -> None:
    """A running detect that takes the list anew writes what is wrong with it in its log."""
    (tmp_path / "list.txt").write_text(f"{line}\n")
    with pytest.raises(ConfigError) as refused:
        NumberList.load(tmp_path / "list.txt")
    assert "712345678" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """At start, by name."""
    with pytest.raises(ConfigError, match=r"none.txt: wanted a readable text file"):
        NumberList.load(tmp_path / "none.txt")
