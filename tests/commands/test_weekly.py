"""`detector weekly`: a better candidate takes the champion's place, goes and comes back, and nothing is lost."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from detector.broker import Message, TopicPartition
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.cli import main
from detector.config import ROOT, Settings, load
from detector.errors import Rejected
from detector.verdict.served import unpack_served
from loadtest.oracle import Oracle
from loadtest.versions import InForce, Versions

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

NUMBERS = 700
SEED = 3
"""Of a network in which the candidate is promoted: of others so small one honest number too many may reach `block`."""


@pytest.fixture
def yesterdays(tmp_path: Path) -> Path:
    """A bundle that has met SIM boxes alone, in the open: the frauds of both weeks are others, for the most part."""
    records, labels, vectors = (str(tmp_path / name) for name in ("r.parquet", "labels.jsonl", "v.parquet"))
    network = ["--numbers", "1200", "--days", "10", "--seed", "77"]
    frauds = ["--campaigns", "simbox-overt", "--campaign-count", "4", "--campaigns-from", "6"]
    assert main(["simulate", *network, *frauds, "--to", "parquet", "--out", records, "--labels", labels]) == 0
    config = str(ROOT / "configs" / "demo.yaml")
    known = ["--labels", labels, "--known-by", "2027-01-01", "--at", "every:4"]
    taken = ["features", "--config", config, "--source", "plain", "--input", records]
    assert main([*taken, *known, "--out", vectors]) == 0
    bundle = tmp_path / "yesterdays"
    assert main(["fit", "--vectors", vectors, "--out", str(bundle), "--name", "old", "--parameter", "models=1"]) == 0
    return bundle


def scored_by(broker: KafkaBroker, settings: Settings) -> list[tuple[str, str]]:
    """Of each vector that detect kept as it scored it: the model that did, and the one that `control` names there."""
    topics, partitions = settings.topics, broker.partitions()

    def messages(topic: str) -> Iterator[Message]:
        for q in range(partitions[topic]):
            at = TopicPartition(topic, q)
            yield from broker.read(at, *broker.watermarks(at))

    versions = Versions(InForce("", "", ""))
    versions.hear(messages(topics.control))
    found = []
    for message in messages(topics.vectors):
        rows = unpack_served(message.value(), message.headers() or [])
        assert not isinstance(rows, Rejected)
        model = dict(message.headers() or [])["model"].decode()
        for q, offset in zip(rows["log_partition"].tolist(), rows["log_offset"].tolist(), strict=True):
            (stretch,) = versions.stretches(q, offset, offset + 1)
            found.append((model, stretch.by.model))
    return found


def test_a_better_candidate_is_taken_up_and_taken_back_and_nothing_is_lost(
    kafka: LocalKafka, yesterdays: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By processes that never stop: `detector_model_info` and `control` name the new bundle, the old, the new again.

    Every row, reject and decision of the three weeks is what one undisturbed pass gives that is told by `control` where
    which of the two decided: none is missing, none there twice.
    """
    out = tmp_path / "weekly"
    argv = ["weekly", "--numbers", str(NUMBERS), "--seed", str(SEED), "--champion", str(yesterdays)]
    assert main([*argv, "--kafka", kafka.address, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    print(said)
    taken = re.findall(r"detector_model_info says (\S+)", said)
    old = taken[1]
    assert old.startswith("old-")
    assert taken[0].startswith("week1-")
    assert taken == [taken[0], old, taken[0]]
    assert [line for line in said.splitlines() if "decided on it" in line] == [
        f"# `control` says that {name} decided on it, in processes that never stopped" for name in taken
    ]
    settings = load(out / "detector.yaml", {})
    with closing(KafkaBroker(settings.kafka)) as broker:
        oracle = Oracle(broker, settings)
        oracle.learn_model(out / "champion.before")
        oracle.advance()
        scored = scored_by(broker, settings)
    assert (oracle.lost(), oracle.repeated()) == (0, 0), oracle.examples()
    assert oracle.records > 100_000
    assert {model for model, _ in scored} == set(taken)
    assert all(model == named for model, named in scored)
