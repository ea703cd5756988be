"""The one door to numba: how every kernel of the project is compiled.

Flags: `nogil` so that another thread can work meanwhile; `cache` so that a process starts in
milliseconds; no `fastmath`, for NaN means "cannot be known" in our features and must survive;
`boundscheck` off (the tests run the kernels plain, with NUMBA_DISABLE_JIT=1).
The cache needs a writable directory: NUMBA_CACHE_DIR, else one in the user's cache folder. In it
each state of the sources has a folder of its own: numba looks at the file of a kernel only, not at
the kernels and constants of other files that were compiled into it.
"""

import os
import re
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

_PACKAGE = Path(__file__).parent
_IMPORT = re.compile(r"^from detector\.([\w.]+) import", re.MULTILINE)


def _sources_digest() -> str:
    """What the files with kernels, and all that they import, say."""
    texts = {path: path.read_text("utf-8") for path in sorted(_PACKAGE.rglob("*.py"))}
    pending = [path for path, text in texts.items() if "jit" in _IMPORT.findall(text)]
    reached: set[Path] = set()
    while pending:
        path = pending.pop()
        if path in texts and path not in reached:
            reached.add(path)
            imported = (name.replace(".", "/") for name in _IMPORT.findall(texts[path]))
            pending += [_PACKAGE / f"{name}.py" for name in imported]
    return sha256("".join(texts[path] for path in sorted(reached)).encode()).hexdigest()[:16]


def _cache_dir() -> str:
    """A writable folder for kernels of these sources, by user so that nobody loads another's code."""
    root = os.environ.get("NUMBA_CACHE_DIR") or _user_cache() / "detector" / "numba"
    digest = _sources_digest()
    # A child process inherits the folder that its parent has chosen already.
    wanted = Path(root) if Path(root).name == digest else Path(root) / digest
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return str(wanted)
    except OSError:
        return tempfile.mkdtemp(prefix="detector-numba-")


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


os.environ["NUMBA_CACHE_DIR"] = _cache_dir()

import numba  # noqa: E402  (reads NUMBA_CACHE_DIR when it is imported)
from llvmlite import ir  # noqa: E402
from numba.core import types  # noqa: E402
from numba.extending import intrinsic  # noqa: E402


def kernel(function: F) -> F:
    """Compile `function` on first call: one naked loop, arrays in, nothing allocated.

    Nothing is allocated, so that nothing need be counted: with numba's reference counts, two atomic steps for each
    array that is taken from a tuple or a record, counting and scoring a row took a quarter as long again. A kernel that
    makes an array does not compile.
    """
    return _compiled(function, inline="never")


def inlined(function: F) -> F:
    """A kernel that becomes part of those that call it, where the shape of the array it is given is a constant.

    For loops over a ring or a tile: called as they are they know no shape, and run a counter at a time.
    """
    return _compiled(function, inline="always")


def _compiled(function: F, inline: str) -> F:
    compiled: F = numba.njit(nogil=True, cache=True, fastmath=False, error_model="numpy", inline=inline, _nrt=False)(
        function
    )
    return compiled


def _prefetch(typing_context: Any, address: Any) -> Any:
    """Numba's view of `prefetch`: LLVM's intrinsic, to be written to, to be kept in every cache, data."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte_pointer, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte_pointer, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte_pointer], kind)
        pointer = builder.inttoptr(arguments[0], byte_pointer)
        builder.call(function, [pointer, word(1), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(types.intp), generate


def _nothing(address: int) -> None:
    """What `prefetch` is in plain Python."""


prefetch: Callable[[int], None] = _nothing if numba.config.DISABLE_JIT else intrinsic(_prefetch)
"""The cache line at an address is on its way from memory: a hint, which changes nothing and never fails."""


def _load_word(typing_context: Any, octets: Any, at: Any) -> Any:
    """Numba's view of `load_word`: an address, and a load that need not be aligned."""
    if not (isinstance(octets, types.Array) and octets.dtype == types.uint8 and octets.layout == "C"):
        raise TypeError(f"wanted contiguous bytes (got {octets})")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        loaded = builder.load(pointer)
        loaded.align = 1
        return loaded

    return types.uint64(octets, types.intp), generate


def _word(octets: np.ndarray, at: int) -> np.uint64:
    """What `load_word` is in plain Python."""
    return np.uint64(int.from_bytes(octets[at : at + 8].tobytes(), "little"))


load_word: Callable[[np.ndarray, int], np.uint64] = _word if numba.config.DISABLE_JIT else intrinsic(_load_word)
"""The eight bytes from a place on, the first the lowest: one instruction. Neither place nor host is looked at: `at` is
at least 0, at least eight bytes follow it, and the host is little-endian. (Of eight loads of a byte, whose index may
be negative for all that numba knows, the compiler makes forty instructions.)"""
