"""What every test may use: a real Kafka, one for the whole run, and one way to draw examples."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from detector.broker.local import LocalKafka, missing_tools
from loadtest import prometheus

# Drawn from a fixed seed, so that a failure is everybody's; no deadline, for a kernel compiles on its first call.
hypothesis.settings.register_profile("detector", derandomize=True, deadline=None)
hypothesis.settings.load_profile("detector")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Java or Maven the tests marked `kafka` are skipped, and `prometheus` likewise; CI (the variable of that
    name) requires them."""
    if os.environ.get("CI"):
        return
    for marker, missing, what in (
        ("kafka", missing_tools(), "a real Kafka needs Java 17 and Maven"),
        ("prometheus", prometheus.missing_tools(), "a real Prometheus needs its package, or apt-get and dpkg"),
    ):
        skip = pytest.mark.skip(reason=f"{what} (not found: {', '.join(missing)})")
        for item in items:
            if missing and item.get_closest_marker(marker):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def kafka() -> Iterator[LocalKafka]:
    """A running Kafka of one node; tests that use it are marked `kafka` and choose topics of their own."""
    with LocalKafka() as running:
        yield running
