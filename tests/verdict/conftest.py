"""One bundle, one policy and its judge for all tests of the verdict."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from threadpoolctl import threadpool_limits

from detector.verdict.judge import Judge
from detector.verdict.model import Model
from detector.verdict.policy import Policy
from tests.verdict import models
from tests.verdict.judging import POLICY, judge_of


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


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """The policy of `judging`; its never-block list holds one number and a range."""
    folder = tmp_path_factory.mktemp("policy")
    (folder / "never.txt").write_text("+99971111111\n+999722*\n")
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    return Policy.load(folder / "policy.yaml")


@pytest.fixture
def judge(policy: Policy, model: Model) -> Judge:
    """The judge of SETTINGS: enforcing, model trained on real traffic."""
    return judge_of(policy, model)


@pytest.fixture
def flag(model: Model) -> float:
    """A margin that reaches flag only."""
    return model.thresholds.flag


@pytest.fixture
def block(model: Model) -> float:
    """A margin that reaches block."""
    return model.thresholds.block
