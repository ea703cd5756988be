"""Dashboards as code: five tables of panels become the JSON beside this file, which Grafana takes as it is.

    python configs/dashboards/build.py     writes them anew; a test holds them current

A panel's queries select what the table of metrics or the recording rules of `configs/alerts.yaml` name: tests parse
each, and run each against a real Prometheus that scrapes the service under load. A panel that may be empty says when.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef

HERE: Final = Path(__file__).resolve().parent
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
RATE: Final = "$__rate_interval"
COLUMNS: Final = 24
"""Of Grafana's grid."""
STAT_HEIGHT: Final = 4
PLOT_HEIGHT: Final = 8
FILL: Final = 10
"""Per cent, below a line."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: what it asks, and what whoever looks at it should know."""

    title: str
    queries: dict[str, str]
    """Expression by legend; a legend may name labels as {{label}}."""
    unit: str = "short"
    about: str = ""
    kind: str = "plot"
    """plot: over time; stat: the newest value."""
    empty: str = ""
    """When it shows nothing although all is well; "" = never."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard; its file is named after `name`."""

    name: str
    title: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> list[Panel]:
        """All of them, in order."""
        return [panel for row in self.rows for panel in row.panels]


def _rate(metric: str, by: str = "", where: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate(detector_{metric}{where}[{RATE}]))"


def _worst(metric: str, by: str) -> str:
    return f"max by ({by}) (detector_{metric})"


def _quantiles(metric: str, by: str = "", where: str = "") -> dict[str, str]:
    """p50 and p99 of a histogram."""
    grouped = f"le, {by}" if by else "le"
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",")) if by else ""
    return {
        f"{legend} p{int(100 * q)}".strip(): f"histogram_quantile({q}, sum by ({grouped}) "
        f"(rate(detector_{metric}_bucket{where}[{RATE}])))"
        for q in (0.5, 0.99)
    }


def _stat(
    title: str, expression: str, unit: str = "short", about: str = "", legend: str = "", empty: str = ""
) -> Panel:
    return Panel(title, {legend or title: expression}, unit, about, "stat", empty)


_WEEK: Final = "in the first week: there is no hour to compare with"
_NO_BEATS: Final = "where ingest.heartbeat_s is not set"

OVERVIEW: Final = Board(
    "overview",
    "Detector: night shift",
    (
        Row(
            "Is it working",
            (
                _stat(
                    "Availability now",
                    "detector:availability:ratio",
                    "percentunit",
                    "Share of the partitions that somebody holds, has restored and goes on with.",
                ),
                _stat("Alerts firing", 'count(ALERTS{alertname=~"Detector.*",alertstate="firing"}) or vector(0)'),
                _stat("Records in", _rate("records_total"), "cps"),
                _stat("Behind", "max by (role) (detector:behind:seconds)", "s", legend="{{role}}"),
                _stat(
                    "Batches over 0.1 s, last hour",
                    "detector:latency_errors:ratio1h",
                    "percentunit",
                    "The objective allows 1 %.",
                    legend="{{role}}",
                ),
                _stat(
                    "Oldest heartbeat",
                    "time() - min(max by (partition) (detector_heartbeat_timestamp_seconds))",
                    "s",
                    "Since one came through a partition, the worst of them.",
                    empty=_NO_BEATS,
                ),
            ),
        ),
        Row(
            "What comes in and what goes out",
            (
                Panel(
                    "Records by source",
                    {"{{source}}": "detector:source_records:rate10m"},
                    "cps",
                ),
                Panel(
                    "Records by source, this hour against last week's",
                    {"{{source}}": "detector:source_records:rate1h / detector:source_records:usual1h"},
                    "percentunit",
                    "Below 50 % for half an hour is an alert.",
                    empty=_WEEK,
                ),
                Panel("Decisions an hour", {"{{action}}": "detector:decisions:increase1h"}),
                Panel("Decisions in force", {"{{action}}": "sum by (action) (detector_in_force)"}),
                Panel("Latency", _quantiles("latency_seconds", "role"), "s", "Objectives: p50 0.04 s, p99 0.1 s."),
                Panel("Heartbeat, source to decision", _quantiles("heartbeat_seconds"), "s", empty=_NO_BEATS),
                Panel("Block budget left, all partitions", {"blocks": "sum(detector_blocks_budget_left)"}),
                Panel("Refused records", {"{{source}}": _rate("rejects_total", "source")}, "cps"),
            ),
        ),
    ),
)

PIPELINE: Final = Board(
    "pipeline",
    "Detector: pipeline",
    (
        Row(
            "Ingest",
            (
                Panel("Records", {"{{source}}": _rate("records_total", "source")}, "cps"),
                Panel("Bytes", {"{{source}}": _rate("record_bytes_total", "source")}, "Bps"),
                Panel("Rejects", {"{{source}} {{reason}}": _rate("rejects_total", "source, reason")}, "cps"),
                Panel(
                    "Skipped on purpose",
                    {"{{source}} {{why}}": _rate("skipped_total", "source, why")},
                    "cps",
                    empty="where no mapping leaves anything out",
                ),
                Panel(
                    "Rows out, and sender ids",
                    {"rows": _rate("rows_out_total"), "sender ids": _rate("names_total")},
                    "cps",
                ),
                Panel(
                    "Receive delay by phase",
                    _quantiles("receive_seconds", "phase"),
                    "s",
                    "From the event to its record standing in the topic: the switch's part, not ours.",
                    empty="where max_future_s is off for every source",
                ),
            ),
        ),
        Row(
            "Lag and latency",
            (
                Panel("Lag, messages", {"{{role}}": "detector:lag:records"}),
                Panel("Lag, seconds of event time", {"{{role}}": "max by (role) (detector_lag_seconds)"}, "s"),
                Panel("Lag, seconds of work", {"{{role}}": "detector:behind:seconds"}, "s"),
                Panel("Lag by partition", {"{{topic}} {{partition}}": "topk(10, detector_lag_records)"}),
                Panel("Progress by partition", {"{{partition}}": f"deriv(detector_committed_offset[{RATE}])"}, "cps"),
                Panel("Latency", _quantiles("latency_seconds", "role"), "s"),
                Panel("Time of a stage", _quantiles("stage_seconds", "role, stage"), "s"),
                Panel("Batch", _quantiles("batch_size", "role")),
                Panel("Heartbeat, source to decision", _quantiles("heartbeat_seconds"), "s", empty=_NO_BEATS),
                Panel(
                    "Heartbeat, age by partition",
                    {"{{partition}}": "time() - max by (partition) (detector_heartbeat_timestamp_seconds)"},
                    "s",
                    empty=_NO_BEATS,
                ),
            ),
        ),
        Row(
            "Detect",
            (
                Panel("Messages", {"{{instance}}": _rate("messages_total", "instance")}, "cps"),
                Panel("Rows by what became of them", {"{{status}}": _rate("rows_total", "status")}, "cps"),
                Panel("Rows scored", {"{{instance}}": _rate("scored_total", "instance")}, "cps"),
                Panel("Numbers held", {"{{form}}": "sum by (form) (detector_numbers)"}),
                Panel(
                    "Memory of the state",
                    {
                        "numbers, {{instance}}": "sum by (instance) (detector_state_bytes)",
                        "decisions, {{instance}}": "sum by (instance) (detector_cases_bytes)",
                    },
                    "bytes",
                ),
                Panel(
                    "Numbers let go of",
                    {"silent": _rate("forgotten_total"), "for want of room": _rate("evicted_total")},
                    "cps",
                ),
            ),
        ),
        Row(
            "Snapshots and restarts",
            (
                Panel("Age of the oldest", {"{{instance}}": "detector_snapshot_age_seconds"}, "s"),
                Panel("Written and failed", {"{{outcome}}": _rate("snapshots_total", "outcome")}, "cps"),
                Panel("Time to write", _quantiles("snapshot_seconds"), "s"),
                Panel("Pause to copy", _quantiles("snapshot_pause_seconds"), "s"),
                Panel("Size of the last", {"{{instance}}": "detector_snapshot_bytes"}, "bytes"),
                Panel("Rows to replay after a kill", {"{{instance}}": "detector_unsaved_rows"}),
                Panel(
                    "Last restore",
                    {"{{instance}} {{partition}}": "topk(10, detector_restore_seconds)"},
                    "s",
                ),
                Panel("Partitions being restored", {"{{instance}}": "detector_replaying"}),
                Panel("Loop last came round", {"{{instance}}": "time() - detector_last_step_timestamp_seconds"}, "s"),
                Panel(
                    "Since the last batch",
                    {"{{role}}": "time() - max by (role) (detector_last_batch_timestamp_seconds)"},
                    "s",
                ),
            ),
        ),
    ),
)

FRAUD: Final = Board(
    "fraud",
    "Detector: what is decided, and why",
    (
        Row(
            "Decisions",
            (
                Panel("By action", {"{{action}}": _rate("decisions_total", "action")}, "cps"),
                Panel("By rule", {"{{rule}}": f"topk(15, {_rate('decisions_total', 'rule')})"}, "cps"),
                Panel("By service", {"{{service}}": _rate("decisions_total", "service")}, "cps"),
                Panel("An hour", {"{{action}}": "detector:decisions:increase1h"}),
                Panel(
                    "An hour, a week ago",
                    {"{{action}}": "detector:decisions:usual1h"},
                    empty=_WEEK,
                ),
                Panel("In force", {"{{action}}": "sum by (action) (detector_in_force)"}),
            ),
        ),
        Row(
            "What holds blocks back",
            (
                Panel(
                    "Held back",
                    {"{{why}}": _rate("held_back_total", "why")},
                    "cps",
                    "hold_out: numbers that are never blocked, for labels that nothing has biased.",
                ),
                Panel("Budget left by partition", {"{{partition}}": "detector_blocks_budget_left"}),
                Panel("Budget trips", {"blocks": _rate("held_back_total", where='{why="budget"}')}, "cps"),
            ),
        ),
        Row(
            "Scores",
            (
                Panel("Rows scored", {"rows": _rate("scored_total")}, "cps"),
                Panel("Margins", _quantiles("score"), "short", "p50 is an honest number; p99 is who is looked at."),
                Panel(
                    "Share of margins by band",
                    {"at most {{le}}": f"sum by (le) (rate(detector_score_bucket[{RATE}]))"},
                    "cps",
                ),
            ),
        ),
    ),
)

MODEL: Final = Board(
    "model",
    "Detector: model and drift",
    (
        Row(
            "In force",
            (
                _stat("Models", "count by (version, simulated) (detector_model_info)", legend="{{version}}"),
                _stat("Policies", "count by (version, mode) (detector_policy_info)", legend="{{version}} {{mode}}"),
                _stat("Configurations", "count by (version) (detector_config_info)", legend="{{version}}"),
                _stat(
                    "Last reload",
                    "time() - max(detector_reload_timestamp_seconds)",
                    "s",
                    "Since the newest rules were taken.",
                ),
                _stat(
                    "Last reload succeeded",
                    "min(detector_reload_success and detector_reload_timestamp_seconds > 0)",
                    about="0: some process keeps the old ones.",
                ),
            ),
        ),
        Row(
            "Drift",
            (
                Panel(
                    "Features that moved most",
                    {"{{feature}}": "topk(10, max by (feature) (detector_feature_drift))"},
                    about="Population stability index: from 0.1 watch, from 0.25 act.",
                    empty="until a whole day, and 1,000 vectors of a log that covers seven, are counted",
                ),
                Panel(
                    "Score",
                    {"{{instance}}": 'detector_feature_drift{feature="score"}'},
                    empty="until a whole day, and 1,000 vectors of a log that covers seven, are counted",
                ),
                Panel("Vectors that it rests on", {"{{instance}}": "detector_drift_vectors"}),
                Panel("Margins", _quantiles("score")),
            ),
        ),
        Row(
            "What serving scored against what training computes",
            (
                Panel(
                    "Vectors of the last comparison",
                    {
                        "compared": "max(detector_parity_vectors)",
                        "differ": "max(detector_parity_differing)",
                        "not computed": "max(detector_parity_missing)",
                    },
                    about="`detector parity --metrics`, by way of a node exporter.",
                    empty="until `detector parity --metrics` has run",
                ),
                Panel(
                    "Equal",
                    {"equal": "min(detector_parity_equal)"},
                    about="0: see the alert DetectorParityBroken.",
                    empty="until `detector parity --metrics` has run",
                ),
                Panel(
                    "Since the last comparison",
                    {"age": "time() - max(detector_parity_timestamp_seconds)"},
                    "s",
                    about="From eight days on nobody compares any more.",
                    empty="until `detector parity --metrics` has run",
                ),
            ),
        ),
        Row(
            "Reloads and the challenger",
            (
                Panel("Reloads", {"{{outcome}}": "sum by (outcome) (detector_reloads_total)"}),
                Panel(
                    "Challengers",
                    {"{{version}}": "count by (version, simulated) (detector_challenger_info)"},
                    empty="without model.challenger",
                ),
                Panel(
                    "Rows that reach a threshold, by whose",
                    {"{{level}} {{who}}": _rate("challenger_total", "level, who")},
                    "cps",
                    empty="without model.challenger",
                ),
            ),
        ),
    ),
)

KAFKA: Final = Board(
    "kafka",
    "Detector: Kafka",
    (
        Row(
            "The brokers, as our clients see them",
            (
                Panel("Reachable", {"{{instance}}": "detector_broker_up"}),
                Panel(
                    "Round trip",
                    {"{{client}} {{broker}} {{stat}}": _worst("broker_round_trip_seconds", "client, broker, stat")},
                    "s",
                    "A consumer's fetches wait up to 0.05 s where there is nothing to fetch.",
                ),
                Panel(
                    "Messages in the client",
                    {"{{instance}} {{client}}": "sum by (instance, client) (detector_client_queue_messages)"},
                ),
            ),
        ),
        Row(
            "Transactions",
            (
                Panel("Outcome", {"{{role}} {{outcome}}": _rate("transactions_total", "role, outcome")}, "cps"),
                Panel("Time", _quantiles("transaction_seconds", "role"), "s", "At 10 s the broker ends it."),
                Panel("Batch", _quantiles("batch_size", "role")),
            ),
        ),
        Row(
            "Groups",
            (
                Panel("Partitions held", {"{{role}} {{instance}}": "detector_assigned"}),
                Panel(
                    "Partitions held of those there are",
                    {"held": 'sum(detector_assigned{role="detect"})', "wanted": "max(detector_partitions)"},
                ),
                Panel("Rebalances", {"{{role}} {{what}}": "sum by (role, what) (detector_rebalances_total)"}),
                Panel("Lag by topic", {"{{topic}}": "sum by (topic) (detector_lag_records)"}),
            ),
        ),
    ),
)

BOARDS: Final = (OVERVIEW, PIPELINE, FRAUD, MODEL, KAFKA)


def _built(panel: Panel, span: int) -> Any:
    about = " ".join(filter(None, (panel.about, f"Empty {panel.empty}." if panel.empty else "")))
    made: Any
    if panel.kind == "stat":
        made = stat.Panel().graph_mode(BigValueGraphMode.AREA).height(STAT_HEIGHT)
    else:
        made = timeseries.Panel().fill_opacity(FILL).height(PLOT_HEIGHT)
    made = made.title(panel.title).description(about).unit(panel.unit).datasource(SOURCE).span(span)
    for legend_text, expression in panel.queries.items():
        made = made.with_target(prometheus.Dataquery().expr(expression).legend_format(legend_text).datasource(SOURCE))
    return made


def build(board: Board) -> str:
    """The JSON of a dashboard, as Grafana imports it."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(f"detector-{board.name}")
        .tags(["detector"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
    )
    for row in board.rows:
        made = made.with_row(dashboard.Row(row.title))
        stats = sum(panel.kind == "stat" for panel in row.panels)
        for panel in row.panels:
            made = made.with_panel(_built(panel, COLUMNS // stats if panel.kind == "stat" else COLUMNS // 3))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def main() -> None:
    """Every dashboard's file is current."""
    for board in BOARDS:
        path = HERE / f"{board.name}.json"
        path.write_text(build(board), encoding="utf-8")
        sys.stdout.write(f"{path}: {len(board.panels)} panels\n")


if __name__ == "__main__":
    main()
