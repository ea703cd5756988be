"""What the commands share: where they work, what they say, and the file that their figures go to."""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def add_common(parser: argparse.ArgumentParser) -> None:
    """`--seed`, `--folder` and `--json`."""
    parser.add_argument("--seed", type=int, default=1, help="of traffic and chance (default: %(default)s)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep logs, snapshots and the broker's data there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")


@contextmanager
def work_folder(kept: Path | None, name: str) -> Iterator[Path]:
    """The folder that is to be kept, made if need be; else one that goes with the block."""
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as temporary:
        yield Path(temporary)


def write_figures(path: Path | None, figures: object) -> None:
    """The figures stand in the file, if there is one to be written; null where there is no number."""
    if path:
        path.write_text(json.dumps(_finite(figures), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def conclude(path: Path | None, table: str, figures: object, unmet: Sequence[str]) -> int:
    """The table is printed and the figures are written; the exit code, 1 where something is not met."""
    sys.stdout.write(table)
    write_figures(path, figures)
    return 1 if unmet else 0


def _finite(tree: object) -> object:
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def say(text: str) -> None:
    """A line of progress, on stderr: what is printed on stdout may be read by a program."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
