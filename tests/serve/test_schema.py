"""Whatever the server's own OpenAPI allows, and what it does not, none of it is answered by an error of the server's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from everlearn import Home
from everlearn.serve.running import served

ROUTES = {
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/embeddings",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "GET /health",
    "GET /metrics",
    "POST /v1/feedback",
    "POST /v1/documents",
    "GET /v1/documents",
    "DELETE /v1/documents",
}


@pytest.fixture(scope="module")
def url(two_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(Home(shutil.copytree(two_made, tmp_path_factory.mktemp("schema") / "home"))) as found:
        yield found


def test_no_request_is_answered_by_an_error_of_the_servers(url: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.label for operation in operations} == ROUTES
    for operation in operations:

        @settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=[not_a_server_error])

        ask()
