"""End-to-end tests: real containers, real neonize, a real Postgres, and the simulated WhatsApp network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Template, at, execute
from tests.support.fleet import Fleet


@pytest.fixture(scope="module")
def fleet(
    postgres_url: str,
    postgres_template: Template,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Fleet]:
    """A fleet with one controller and one api, shared by the tests of a module.

    `CONTROLLER` in the module holds further settings of its controller.
    """
    logs: Path = tmp_path_factory.mktemp("fleet")
    database = f"botdock_{logs.name}_{id(logs):x}"
    execute(postgres_url, f'CREATE DATABASE "{database}" TEMPLATE "{postgres_template.name}"')
    fleet = Fleet(database_url=at(postgres_url, database), admin_key=postgres_template.admin_key, logs=logs)
    try:
        fleet.start_controller(**getattr(request.module, "CONTROLLER", {}))
        fleet.start_api()
        yield fleet
    finally:
        fleet.close()
        execute(postgres_url, f'DROP DATABASE "{database}" WITH (FORCE)')


@pytest.fixture
def bare_fleet(postgres_url: str, postgres_template: Template, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet with an api; each test starts the controllers itself."""
    database = f"botdock_{tmp_path.parent.name}_{tmp_path.name}".replace("-", "_")[:60]
    execute(postgres_url, f'CREATE DATABASE "{database}" TEMPLATE "{postgres_template.name}"')
    fleet = Fleet(database_url=at(postgres_url, database), admin_key=postgres_template.admin_key, logs=tmp_path)
    try:
        fleet.start_api()
        yield fleet
    finally:
        fleet.close()
        execute(postgres_url, f'DROP DATABASE "{database}" WITH (FORCE)')
