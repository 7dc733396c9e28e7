"""Fixtures of several tests of the runtime."""

from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from bot_runtime.storage.sqlite import open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Connection]:
    """The store on the volume of a bot."""
    store = open_store(tmp_path / "runtime.db")
    yield store
    store.close()
