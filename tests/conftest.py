"""What every test run needs: Postgres, and the distribution of the tests over parallel workers.

Postgres runs in a container of our own image (`make images`), since no registry can be relied on;
`BOTDOCK_TEST_POSTGRES_URL` names a server to use instead (see `tests/support/databases.py`). All workers share the
server; each test has a fresh, migrated database.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import Template, own_database, remove_shared, shared_server, shared_template

RUN_FOLDER_VARIABLE = "BOTDOCK_TEST_RUN_FOLDER"
"""Tells the workers where the run keeps what they share."""
MEMORY = Path("/dev/shm")  # noqa: S108 - pytest creates directories of its own below it
MEMORY_BYTES = 4 << 30
"""Enough for all temporary files of a run, which are sessions (synchronized after each write) and engines."""
SLOWEST_FIRST = ("e2e", "integration")
"""Folders whose modules start first, so that no worker begins a long one when the others have finished."""


def pytest_configure(config: pytest.Config) -> None:
    if not _is_worker(config):
        os.environ[RUN_FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="botdock-test-")
        if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not _is_worker(config):
        folder = Path(os.environ.pop(RUN_FOLDER_VARIABLE))
        remove_shared(folder)
        shutil.rmtree(folder)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs an engine for its database, and let the workers begin with the slowest modules."""
    for item in items:
        if isinstance(item, pytest.Function) and "postgres_url" in item.fixturenames:
            item.add_marker(pytest.mark.docker)
    if _is_worker(config):
        slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
        items.sort(key=lambda item: (item.path not in slow, _folder_rank(item)))


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _folder_rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return SLOWEST_FIRST.index(folder) if folder in SLOWEST_FIRST else len(SLOWEST_FIRST)


@pytest.fixture(scope="session")
def run_folder() -> Path:
    """Where the workers of this run keep what they share."""
    return Path(os.environ[RUN_FOLDER_VARIABLE])


@pytest.fixture(scope="session")
def postgres_url(run_folder: Path) -> str:
    """A Postgres server, as `postgresql://user:password@host:port/postgres`."""
    return shared_server(run_folder).url


@pytest.fixture(scope="session")
def postgres_template(run_folder: Path, postgres_url: str) -> Template:
    """A migrated database to copy, with server `server1` (room for 20 bots) and the first admin key."""
    return shared_template(run_folder, postgres_url)


@pytest.fixture
def database_url(postgres_url: str, postgres_template: Template) -> Iterator[str]:
    """A database of this test's own, migrated and otherwise empty."""
    with own_database(postgres_url, postgres_template, "test") as url:
        yield url


@pytest.fixture(scope="session")
def admin_key(postgres_template: Template) -> str:
    """The first admin key of every `database_url`."""
    return postgres_template.admin_key
