"""Instructions: how many a record takes in each kernel, counted by perf, or by valgrind where that cannot.

    perf stat -e instructions:u     a process of n rounds, one of more: their difference
    valgrind --tool=callgrind       one process; counting is switched on around the rounds of each work

`python -m loadtest.instructions WORK ROUNDS` is what perf watches; `... all ROUNDS` what valgrind does. Neither counts
what a shared machine makes slow: a count that moved says that the code, a compiler or a library did.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from detector.config import ROOT
from detector.errors import Fatal
from loadtest.command import say
from loadtest.works import Work, kernels

ROUNDS: Final = 3
ALL: Final = "all"
NOTHING: Final = "nothing"
"""Switching on and off alone: that much is taken from each count."""
LIMIT_S: Final = 900.0
EVENT: Final = "instructions:u"
FOR_VALGRIND: Final = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+lzcnt,+popcnt"}
"""Valgrind knows no AVX-512: kernels are compiled for a processor without, and beforehand, for under it that takes
half an hour."""
MARK: Final = "records "
"""Before what the process says: work, and records of its rounds."""


def count() -> tuple[str, dict[str, float]]:
    """The counter that worked, and instructions by record of each kernel; `Fatal` where none works."""
    if perf_counts():
        return "perf", _by_perf()
    if shutil.which("valgrind") and shutil.which("callgrind_control"):
        say("perf cannot count instructions here: valgrind does, in some minutes")
        return "callgrind", _by_callgrind()
    raise Fatal("instructions cannot be counted: perf is missing or its counter not supported, and valgrind is missing")


def perf_counts() -> bool:
    """Whether perf is there and the machine lets it count."""
    if not shutil.which("perf"):
        return False
    done = subprocess.run(["perf", "stat", "-x,", "-e", EVENT, "true"], capture_output=True, text=True, check=False)
    return perf_total(done.stderr) is not None


def perf_total(said: str) -> int | None:
    """What `perf stat -x,` counted; None where it says `<not supported>`, `<not counted>` or nothing."""
    for line in said.splitlines():
        value, _, rest = line.partition(",")
        if EVENT in rest and value.isdigit():
            return int(value)
    return None


def totals(dumps: Sequence[str]) -> list[int]:
    """What each dump of callgrind counted."""
    return [int(found[1]) for dump in dumps if (found := re.search(r"^totals: (\d+)", dump, re.MULTILINE))]


def _by_perf() -> dict[str, float]:
    costs = {}
    for name in kernels():
        few, _ = _watched(name, 1)
        many, records = _watched(name, 1 + ROUNDS)
        costs[name] = (many - few) / (records * ROUNDS / (1 + ROUNDS))
    return costs


def _watched(name: str, rounds: int) -> tuple[int, int]:
    """Instructions of a whole process, and records of its rounds."""
    command = ["perf", "stat", "-x,", "-e", EVENT, *_child(name, rounds)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=LIMIT_S, check=False)
    total = perf_total(done.stderr)
    if done.returncode or total is None:
        raise Fatal(f"perf could not count {name}:\n{done.stderr[-1000:]}")
    return total, _records(done.stdout)[name]


def _by_callgrind() -> dict[str, float]:
    environ = os.environ | FOR_VALGRIND
    subprocess.run(_child(ALL, 1), env=environ, stdout=subprocess.DEVNULL, cwd=ROOT, timeout=LIMIT_S, check=True)
    with tempfile.TemporaryDirectory(prefix="instructions-") as folder:
        out = f"--callgrind-out-file={folder}/dump"
        watched = ["valgrind", "--tool=callgrind", "--instr-atstart=no", out, *_child(ALL, ROUNDS)]
        environ["LOADTEST_SWITCH"] = "1"
        done = subprocess.run(
            watched, capture_output=True, text=True, env=environ, cwd=ROOT, timeout=LIMIT_S, check=False
        )
        if done.returncode:
            raise Fatal(f"valgrind ended with {done.returncode}:\n{done.stderr[-1000:]}")
        # `dump.1`, `dump.2`, ... in the order of the works; what was counted after the last is nobody's.
        paths = sorted(Path(folder).glob("dump.*"), key=lambda path: int(path.suffix[1:]))
        counted = totals([path.read_text(encoding="utf-8") for path in paths])
    return by_record(counted, _records(done.stdout))


def by_record(counted: Sequence[int], records: Mapping[str, int]) -> dict[str, float]:
    """Instructions by record of each work, less what switching takes: the first count is of nothing else."""
    if len(counted) < len(records):
        raise Fatal(f"valgrind wrote {len(counted)} counts of {len(records)}")
    of = dict(zip(records, counted, strict=False))
    return {name: (of[name] - of[NOTHING]) / done for name, done in records.items() if name != NOTHING}


def _records(said: str) -> dict[str, int]:
    lines = [line.removeprefix(MARK) for line in said.splitlines() if line.startswith(MARK)]
    return {name: int(done) for done, name in (line.split(" ", 1) for line in lines)}


def _child(name: str, rounds: int) -> list[str]:
    return [sys.executable, "-m", "loadtest.instructions", name, f"{rounds}"]


def main(name: str, rounds: int) -> None:
    """Do the rounds of one work or of all, each after one that is not counted, and say how many records that was."""
    works: dict[str, Work | None] = {NOTHING: None} if name == ALL else {}
    works |= {one: work for one, work in kernels().items() if name in (one, ALL)}
    for one, work in works.items():
        _rounds(work, 1)
        _switch("--instr=on")
        done = _rounds(work, rounds)
        _switch("--instr=off")
        _switch(f"--dump={one}")
        sys.stdout.write(f"{MARK}{done} {one}\n")


def _rounds(work: Work | None, rounds: int) -> int:
    done = 0
    for _ in range(rounds if work else 0):
        assert work is not None
        work.prepare()
        done += work.do()
    return done


def _switch(what: str) -> None:
    if os.environ.get("LOADTEST_SWITCH"):
        subprocess.run(["callgrind_control", what, f"{os.getpid()}"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
