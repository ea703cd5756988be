"""The smaller job on Quix Streams, exactly once: `python -m loadtest.peers.quix.app TASK.json STATE`, until SIGTERM.

Its Python is the one that `loadtest.peers.build` makes: of the project it imports the job alone.
"""

import sys
from pathlib import Path
from typing import Any

from quixstreams import Application, State  # type: ignore[import-not-found]

from loadtest.peers.job import Task, count, score


def main(task: Task, state: Path) -> None:
    """Run until SIGTERM."""
    app = Application(
        broker_address=task.bootstrap,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        state_dir=state,
        loglevel="WARNING",
        processing_guarantee="exactly-once",
        # A checkpoint writes all state that changed since the last, so the documentation's way to throughput is to have
        # fewer of them; its default is 5 s, but then a decision would be five times as old as the others'.
        commit_interval=task.commit_ms / 1000,
    )
    # JSON goes through orjson, in records and in state, unless told otherwise.
    records = app.topic(task.topic, value_deserializer="json")
    decisions = app.topic(task.decisions, value_serializer="json")

    def scoring(record: dict[str, Any], state: State) -> dict[str, Any] | None:
        panes = count(state.get("panes"), record)
        state.set("panes", panes)
        margin = score(panes, task.coefficients, task.intercept)
        return {"id": record["id"], "number": record["from"], "score": margin} if margin > task.threshold else None

    # State is kept by the message's key: the records come keyed by caller, so none is sent through another topic.
    frame = app.dataframe(records).apply(scoring, stateful=True)
    frame.filter(lambda decision: decision is not None).to_topic(decisions)
    app.run()


if __name__ == "__main__":
    main(Task.read(Path(sys.argv[1])), Path(sys.argv[2]))
