"""One bundle for all tests of the verdict."""

from pathlib import Path

import pytest

from detector.verdict.model import Model
from tests.verdict import models


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle that says it was trained on real traffic."""
    path = tmp_path_factory.mktemp("bundle")
    models.save(path, models.fitted())
    return path


@pytest.fixture(scope="session")
def model(bundle: Path) -> Model:
    """That bundle, loaded."""
    return Model.load(bundle)
