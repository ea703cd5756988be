"""The admin port answers whatever schemathesis makes of its own OpenAPI document as that document says."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from detector.admin.routes import ROUTES, Route
from tests.admin.world import World, world

EXAMPLES = 60
"""Of each operation: some ten seconds in all."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("fuzz"), records=2_000, a_second=1e6, burst=10**6, failures=10**6) as running:
        yield running


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_answers_are_as_documented(here: World, route: Route) -> None:
    """Status, shape and headers of every answer; no server error; wrong input, and no token, are refused."""
    api = schemathesis.openapi.from_url(f"{here.server.url}/openapi.json")
    headers = {"Authorization": f"Bearer {here.tokens['operator']}"}

    @given(case=api[route.path][route.method].as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    def answers(case: "schemathesis.Case[Any]") -> None:
        case.call_and_validate(headers=headers)

    answers()
