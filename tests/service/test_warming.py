"""A detect worker has its kernels before it joins its group: no row of its partitions waits for a compiler."""

import subprocess
import sys
from pathlib import Path

from detector.config import ROOT

JOINED = """
import sys
from pathlib import Path
from msgspec.structs import replace
from numba.core.registry import CPUDispatcher
from detector.admin import Desk
from detector.broker.memory import MemoryBroker
from detector.metrics import Metrics
from detector.records import parse_number
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from tests.service.harness import RECORDS, settings_for, traffic
from tests.service.test_roles import broker_with, drain, published_decisions


def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("detector.")]
    kernels = {thing for module in modules for thing in vars(module).values() if isinstance(thing, CPUDispatcher)}
    # Ingest, which is here to write rows, compiles its own before it joins.
    return sum(len(kernel.signatures) for kernel in kernels if ".ingest." not in kernel.__module__)


settings = settings_for(Path(sys.argv[1]))
settings = replace(settings, model=replace(settings.model, challenger=settings.model.bundle))
values = traffic(6_000)
broker, seen = broker_with(settings, values[:1]), [compiled()]
join = broker.consumer


def consumer(group, instance, **options):
    if group.endswith("-detect"):
        seen.append(compiled())
    return join(group, instance, **options)


broker.consumer = consumer
desk = Desk()
ingest, detect = IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, Metrics(), "0", desk=desk)
drain(ingest, detect)  # a batch of one record
broker.publish(RECORDS, [(None, value) for value in values[1:]], 0)
drain(ingest, detect)
decided = published_decisions(broker, settings)
detect.number_seen(parse_number("+999712345678"))
seen.append(compiled())
detect.close()
again = DetectRole(settings, broker, Metrics(), "0")  # from its snapshots
drain(again)
again.close()
seen.append(compiled())
print(len(decided), *seen)
"""


def test_after_it_has_joined_nothing_is_compiled(tmp_path: Path) -> None:
    """Not for a batch of one row or of many that are decided on, a question or a restore; in a process of its own."""
    argv = [sys.executable, "-c", JOINED, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT)
    decided, cold, joined, worked, restored, again = map(int, done.stdout.split())
    assert decided > 0
    assert cold < joined == worked == restored == again
