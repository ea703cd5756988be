"""Rendering waits until a test asks: who only collects tests may be without Go, and has no three minutes for Helm."""

import subprocess
import sys

from detector.config import ROOT

COLLECT = """
import importlib, pathlib
import helm.tool

def refuse():
    raise SystemExit("Helm was asked for")

helm.tool.fetch = refuse
for path in sorted(pathlib.Path("tests/helm").glob("test_*.py")):
    importlib.import_module(f"tests.helm.{path.stem}")
"""


def test_no_module_asks_for_helm_when_it_is_imported() -> None:
    """In a process of its own, where whoever asks ends it."""
    done = subprocess.run([sys.executable, "-c", COLLECT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
