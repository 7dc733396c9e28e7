"""End-to-end tests: real containers, real neonize, a real Postgres, and the simulated WhatsApp network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import Template, own_database
from tests.support.fleet import Fleet


@pytest.fixture(scope="module")
def fleet(
    postgres_url: str,
    postgres_template: Template,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fleet]:
    """A fleet with one controller and one api, shared by the tests of a module."""
    logs = tmp_path_factory.mktemp("fleet")
    with (
        own_database(postgres_url, postgres_template, "fleet") as url,
        Fleet(database_url=url, admin_key=postgres_template.admin_key, logs=logs) as fleet,
    ):
        fleet.start()
        yield fleet


@pytest.fixture
def bare_fleet(postgres_url: str, postgres_template: Template, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet with an api; each test starts the controllers itself."""
    with (
        own_database(postgres_url, postgres_template, "bare_fleet") as url,
        Fleet(database_url=url, admin_key=postgres_template.admin_key, logs=tmp_path) as fleet,
    ):
        fleet.start_api()
        yield fleet
