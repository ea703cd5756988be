"""The kernels mean the same as plain Python: bounds are checked there, and types are Python's own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from detector.features.state import State
from detector.records import ROW, NumberKind, Rows, pack_digits
from detector.units import DAY_MS
from tests.features.test_state import every
from tests.strategies import MONDAY_MS

PLAIN = """
import sys, numpy as np
from detector.features.state import State
from tests.features.test_plain import stream
from tests.features.test_state import every
with np.errstate(over="ignore"):  # the hash is arithmetic modulo 2^64
    rows = stream()
    state = State(1, 330, int(sys.argv[2]))
    updated = state.update(rows, every(rows))
    np.savez(sys.argv[1], vectors=updated.vectors, status=updated.status, **state.arrays())
"""


def stream() -> Rows:
    """A few hundred rows with every flag, over ten days, some of them late or twice."""
    chance = np.random.default_rng(11)
    rows = np.zeros(300, ROW)
    first = pack_digits(NumberKind.E164, "999700000001")
    rows["number"] = first + chance.integers(0, 3, len(rows))
    rows["other"] = first + chance.integers(0, 40, len(rows))
    rows["event_ms"] = MONDAY_MS + np.sort(chance.integers(0, 10 * DAY_MS, len(rows)))
    rows["event_ms"] -= chance.choice([0, 0, 0, DAY_MS, 9 * DAY_MS], len(rows))
    rows["kind"] = chance.choice([1, 1, 2], len(rows))
    rows["role"] = chance.choice([0, 0, 1], len(rows))
    rows["flags"] = chance.integers(0, 2**15, len(rows)) & ~np.int64(512 + 256)
    rows["duration_s"] = chance.choice([0, 3, 60, 2**32 - 1], len(rows))
    rows["device"], rows["cell"] = chance.integers(0, 4, (2, len(rows)))
    rows["zone"] = chance.integers(0, 2**16, len(rows))
    rows["record_id"] = chance.integers(1, 250, len(rows))
    return rows


@pytest.mark.parametrize("most_numbers", [0, 2])
def test_plain_python_gives_the_same_state_and_vectors(tmp_path: Path, most_numbers: int) -> None:
    """With NUMBA_DISABLE_JIT=1, in a process of its own."""
    path = tmp_path / "plain.npz"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", PLAIN, str(path), str(most_numbers)], check=True, env=environment)
    rows = stream()
    state = State(1, 330, most_numbers)
    updated = state.update(rows, every(rows))
    assert (updated.evicted > 0) == (most_numbers > 0)
    with np.load(path) as plain:
        assert plain["status"].tolist() == updated.status.tolist()
        np.testing.assert_allclose(plain["vectors"], updated.vectors, rtol=1e-12, atol=1e-12)
        for name, array in state.arrays().items():
            assert plain[name].tobytes() == array.tobytes(), name
