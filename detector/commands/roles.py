"""`run`, `ingest`, `detect`: the two roles, together or alone."""

import argparse
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, positive, settings_of
from detector.config import Log, Settings
from detector.errors import ConfigError, DetectorError, Recoverable
from detector.logs import Event, Lines, pseudonyms, said
from detector.metrics import Metrics

if TYPE_CHECKING:
    from detector.admin import Desk
    from detector.admin.seen import Worker
    from detector.broker import Broker
    from detector.service import Role

ROLES: Final = ("ingest", "detect")

log = logging.getLogger("detector")


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    run = add_command(
        commands,
        "run",
        _run,
        "run ingest and detect on this machine, as separate processes",
        "Starts --workers processes of each role and starts those again that die. SIGTERM or Ctrl-C drains them:\n"
        "batches are finished, committed and snapshotted, and places in the groups kept for a restart within 6 s.\n"
        "SIGUSR1 does the same and gives the places up: for those that will not be back. Admin ports: see ingest and\n"
        "detect.",
    )
    add_config(run)
    run.add_argument("--workers", type=positive, default=1, metavar="N", help="processes of each role (default: 1)")
    for i, (role, what) in enumerate(
        zip(ROLES, ("records of the sources become rows", "rows become decisions"), strict=True)
    ):
        parser = add_command(
            commands,
            role,
            _role,
            f"run the {role} role alone: {what}",
            "Its identity towards Kafka is group-role-instance-ordinal: two processes must never share one.\n"
            f"/metrics, /health and /ready answer on port admin.port + 2 x ordinal{' + 1' if i else ''}.",
        )
        add_config(parser)
        parser.add_argument(
            "--ordinal", type=int, default=0, metavar="K", help="which process of this host (default: 0)"
        )
        parser.set_defaults(role=role)


def _run(arguments: argparse.Namespace) -> int:
    from detector.supervisor import Supervisor, Task, stop_on_signals

    settings = settings_of(arguments)  # A wrong configuration is said once, here, instead of by every process.
    tasks = [
        Task(
            f"{role}-{ordinal}",
            (sys.executable, "-m", "detector.cli", role, "--config", str(arguments.config), "--ordinal", str(ordinal)),
        )
        for role in ROLES
        for ordinal in range(arguments.workers)
    ]
    supervisor = Supervisor(tasks, _say_json(settings.log) if settings.log.format == "json" else out)
    stop_on_signals(supervisor.stop, supervisor.leave)
    return supervisor.run()


def _role(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    _log_to_stderr(f"{arguments.role}-{arguments.ordinal}", settings.log)
    return saying_why(lambda: _work(settings, arguments.role, arguments.ordinal))


def saying_why(work: Callable[[], None]) -> int:
    """`work` is done, and the exit code; where an error ends it, the last line of the log says which."""
    try:
        work()
    except Exception as error:
        known = isinstance(error, DetectorError)
        code = 2 if isinstance(error, ConfigError) else 1
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        ended = said(Event.ENDED, reason=reason, error=type(error).__name__, exit_code=code)
        log.critical("ended by an error: %s", reason, exc_info=None if known else error, extra=ended)
        # Clients that are closed at the interpreter's end have their say, and would have the last word.
        logging.disable(logging.CRITICAL)
        return code
    return 0


def _work(settings: Settings, role: str, ordinal: int) -> None:
    """The role works until it is told to end."""
    from detector.admin import Access, AdminServer, Api, Desk, Probe, Tokens
    from detector.service import run
    from detector.service.orders import Orders
    from detector.service.telling import Clients
    from detector.supervisor import stop_on_signals, until_told_or_alone

    name = f"{role}-{settings.instance}-{ordinal}"
    stop, leave = threading.Event(), threading.Event()

    def stop_for_good() -> None:
        leave.set()
        stop.set()

    stop_on_signals(stop.set, stop_for_good)
    metrics = Metrics()
    probe = Probe(
        registry=metrics.registry,
        name=name,
        last_step_s=lambda: metrics.value("last_step_timestamp"),
        missing=lambda: missing(role, metrics),
    )
    tokens = settings.admin.tokens
    access = Access(Tokens(settings.path(tokens)) if tokens else None)
    desk: Desk[Worker] | None = Desk() if role == "detect" else None
    with open_kafka(settings, Clients(metrics, role).tell) as broker:
        api = Api(name, desk, Orders(broker, settings.topics))
        where = settings.admin.host, admin_port(settings, role, ordinal)
        with AdminServer(*where, probe, api=api, access=access) as admin:
            started = said(Event.STARTED, name=name, url=admin.url)
            log.info("%s: /metrics, /health and /ready at %s", name, admin.url, extra=started)
            build = builder(role, settings, broker, metrics, f"{settings.instance}-{ordinal}", desk)
            run(build, until_told_or_alone(stop.is_set), metrics, leave.is_set)
        log.info("%s: drained", name, extra=said(Event.DRAINED, name=name))


def admin_port(settings: Settings, role: str, ordinal: int) -> int:
    """Where a process answers: the roles take turns from the configured port on; 0 stays 0."""
    return settings.admin.port and settings.admin.port + 2 * ordinal + ROLES.index(role)


def missing(role: str, metrics: Metrics) -> Mapping[str, str]:
    """What a process of `role` waits for, as its metrics tell."""
    waits = {}
    if not metrics.value("broker_up"):
        waits["broker"] = "no broker has answered yet, or the last call to it failed"
    if not metrics.value("assigned", role=role):
        waits["assigned"] = "no partition is assigned and restored yet"
    if replaying := int(metrics.value("replaying")):
        waits["caught up"] = f"{replaying} partitions are replayed to their committed offset"
    if role == "detect" and not metrics.value("model_info"):
        waits["model"] = "no model is loaded yet"
    return waits


def builder(
    role: str, settings: Settings, broker: "Broker", metrics: Metrics, instance: str, desk: "Desk[Worker] | None"
) -> "Callable[[], Role]":
    """Builds the role once the broker answers and has the topics; `ConfigError` says how to make them.

    Kernels are compiled before the process joins, and while a broker is away: when that is back, the process, whose
    loop has come round meanwhile, has nothing slow before it that its probes would take for hanging. Ingest's are
    those that its mappings call: it reads them before it joins, as they are by then, and compiles what is missing.
    """

    @cache  # once, however often the broker is asked in vain
    def warm_up() -> None:
        if role == "ingest":
            from detector.service.readers import Readers

            Readers.load(settings)
        else:
            from detector.service.warming import warm_up

            warm_up(settings)

    def build() -> "Role":
        from detector.broker.topics import check_topics

        try:
            check_topics(broker, settings)
        except Recoverable:
            warm_up()
            raise
        if role == "ingest":
            from detector.service.ingest import IngestRole

            return IngestRole(settings, broker, metrics, instance)
        warm_up()
        from detector.service.detect import DetectRole

        return DetectRole(settings, broker, metrics, instance, desk=desk)

    return build


def _log_to_stderr(process: str, settings: Log) -> None:
    """Everything that is logged is a line on stderr, as the settings want it."""
    show = str if settings.numbers == "plain" else pseudonyms(settings.pseudonym_key)
    handler = logging.StreamHandler()
    handler.setFormatter(Lines(process, json=settings.format == "json", show=show))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _say_json(settings: Log) -> Callable[[str], None]:
    """What the supervisor says is in the same form as what its processes do."""
    _log_to_stderr("supervisor", settings)
    return lambda line: log.info("%s", line, extra=said(Event.SUPERVISOR))
