"""One bundle for all tests of the verdict."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from detector.verdict.model import Model
from tests.verdict import models


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine scikit-learn's threads wait for each other far longer than these small models take."""
    with threadpool_limits(1):
        yield


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
