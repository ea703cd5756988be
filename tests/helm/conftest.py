"""Real Helm, built once."""

import os
import shutil
from pathlib import Path

import pytest

from helm.tool import fetch


@pytest.fixture(scope="session", autouse=True)
def program() -> Path:
    """Helm; CI (the variable of that name) requires Go, others may be without."""
    if shutil.which("go") is None and not os.environ.get("CI"):
        pytest.skip("Helm is built by Go (not found: go)")
    return fetch()
