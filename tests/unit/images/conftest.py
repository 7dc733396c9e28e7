"""Fixtures for the tests of the images' scripts."""

from pathlib import Path

import pytest

from tests.unit.images.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without Docker, until a test changes that."""
    return Machine(tmp_path)
