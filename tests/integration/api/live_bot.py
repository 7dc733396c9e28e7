"""Fixtures for tests with a running bot: import them into the test module."""

import pytest

from tests.integration.api.conftest import ADDRESS, Fleet
from tests.integration.api.fake_runtime import FakeRuntime


@pytest.fixture
def runtime_port(fake: FakeRuntime) -> int:
    return fake.port


@pytest.fixture
async def live_bot(bot: str, operator: object, fleet: Fleet, fake: FakeRuntime) -> str:
    """The id of an approved bot whose container is running."""
    await fleet.sql("UPDATE bots SET approval_status = 'approved' WHERE id = %(id)s", id=bot)
    fake.token = (await fleet.bot_row(bot))["runtime_token"]
    await fleet.observe(bot, phase="pairing", container_id="c0ffee", address=ADDRESS, healthy=True)
    return bot
