"""A world for each test."""

import pytest

from tests.unit.reconcile.doubles import World


@pytest.fixture
def world() -> World:
    return World()
