"""The example of `docs/sources.md`: its records, read by its mapping, give what it prints."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from detector.config import ROOT, load
from detector.ingest.check import check_source

BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def test_example_of_a_mapping_reads_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader types is what he sees: a mapping, its place in the configuration, and every line of the answer."""
    page = Path(ROOT, "docs", "sources.md").read_text(encoding="utf-8")
    (_, records), (_, mapping), (_, sources), (_, printed) = [
        (kind, dedent(text)) for _, kind, text in BLOCK.findall(page)
    ]
    Path(tmp_path, "calls.csv").write_text(records)
    Path(tmp_path, "sources").mkdir()
    Path(tmp_path, "sources", "myswitch.yaml").write_text(mapping)
    tree = yaml.safe_load(Path(ROOT, "configs", "local.yaml").read_text()) | yaml.safe_load(sources)
    tree["home"] = {"country_code": "44", "zones": str(Path(ROOT, "configs", "zones.csv"))}
    Path(tmp_path, "detector.yaml").write_text(yaml.safe_dump(tree))
    monkeypatch.chdir(tmp_path)
    lines = list(check_source(load(Path("detector.yaml"), {}), "myswitch", ["calls.csv"]))
    answer = lines[1 : lines.index("counted, by originator and recipient:")]
    assert dedent("\n".join(answer)) == printed.rstrip("\n")
