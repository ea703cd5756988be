"""The one door to numba: how every kernel of the project is compiled.

Flags: `nogil` so that another thread can work meanwhile; `cache` so that a process starts in
milliseconds; no `fastmath`, for NaN means "cannot be known" in our features and must survive;
`boundscheck` off (the tests run the kernels plain, with NUMBA_DISABLE_JIT=1).
The cache needs a writable directory: NUMBA_CACHE_DIR, else one in the user's cache folder.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def _cache_dir() -> str:
    """A writable folder for compiled kernels, by user so that nobody loads another's code."""
    wanted = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "detector" / "numba"
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return str(wanted)
    except OSError:
        return tempfile.mkdtemp(prefix="detector-numba-")


os.environ.setdefault("NUMBA_CACHE_DIR", _cache_dir())

import numba  # noqa: E402  (reads NUMBA_CACHE_DIR when it is imported)


def kernel(function: F) -> F:
    """Compile `function` on first call: one naked loop, arrays in, nothing allocated."""
    compiled: F = numba.njit(nogil=True, cache=True, fastmath=False, error_model="numpy")(function)
    return compiled
