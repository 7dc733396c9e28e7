"""Schemathesis tests every operation of the OpenAPI document against the real application, on a real database.

It sends what the document allows and what it forbids, and checks that each response is documented and follows its
schema. Runs are deterministic and keep no examples. There are several tests so that they can run in parallel.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from orchestrator.api.app import TAGS
from orchestrator.api.bots import pairing
from orchestrator.api.messages import routes as messages
from orchestrator.api.pool import routes as pool
from tests.integration.api.conftest import ADDRESS, CHAT, Fleet
from tests.integration.api.fake_runtime import FakeRuntime, listening
from tests.integration.api.live_bot import runtime_port  # noqa: F401

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")
MAX_EXAMPLES = 2
"""Random cases per operation, in addition to the many that cover its schema. 150 were run before this was set."""
GROUPS = [
    ("bots",),
    ("messages", "pairing"),
    ("groups", "history", "commands", "keys"),
    ("pool", "servers", "operations"),
]
"""Tags of the document, in groups that take about the same time."""
BOT = "bot-123"
"""The id that the document's examples use."""


def without_waiting(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same function with `wait=0`: nothing here would change what it waits for."""

    @wraps(function)
    async def call(*arguments: Any, wait: float, **named: Any) -> Any:
        return await function(*arguments, wait=0, **named)

    return call


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((messages, "settled"), (pool, "settled"), (pairing, "pair"), (pool, "pair")):
        monkeypatch.setattr(module, name, without_waiting(getattr(module, name)))


@pytest.fixture(autouse=True)
async def _examples_exist(admin: httpx.AsyncClient, fleet: Fleet, fake: FakeRuntime) -> None:
    """What the document's examples name: a bot that answers, with a group, a message, an event and a command."""
    assert (await admin.post("/api/bots", json={"id": BOT, "name": "Support"})).status_code == 201
    await admin.post(f"/api/bots/{BOT}/approve")
    fake.token = (await fleet.bot_row(BOT))["runtime_token"]
    await fleet.observe(BOT, phase="pairing", address=ADDRESS, healthy=True)
    await fleet.event(BOT, "connection-update", {"connection": "open"})
    await fleet.sql(
        "INSERT INTO groups (id, bot_key, server_name, subject, description) "
        "SELECT '120363041234567890@g.us', key, server_name, 'Team', '' FROM bots WHERE id = %(bot)s",
        bot=BOT,
    )
    await fleet.sql(
        "INSERT INTO group_members (bot_key, group_id, id, admin) "
        "SELECT key, '120363041234567890@g.us', '12345678901234@lid', true FROM bots WHERE id = %(bot)s",
        bot=BOT,
    )
    assert (await admin.post(f"/api/bots/{BOT}/messages", json={"to": CHAT, "message": "Hello"})).status_code == 202
    assert (await admin.post("/api/commands", json={"name": "hours", "response": "9 to 17"})).status_code == 201


def test_every_operation_is_in_one_of_the_groups() -> None:
    assert sorted(tag for group in GROUPS for tag in group) == sorted(tag["name"] for tag in TAGS)


@pytest.mark.parametrize("tags", GROUPS, ids="-".join)
async def test_the_api_conforms_to_its_document(
    app: FastAPI, admin_key: str, tmp_path: Path, tags: tuple[str, ...]
) -> None:
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(app.openapi()))
    async with listening(app) as port:
        process = await asyncio.create_subprocess_exec(
            *(SCHEMATHESIS, "--config-file", CONFIG, "run", document, "--url", f"http://127.0.0.1:{port}"),
            *(f"--include-tag={tag}" for tag in tags),
            *("--header", f"X-Api-Key: {admin_key}", "--max-examples", str(MAX_EXAMPLES), "--continue-on-failure"),
            *("--generation-deterministic", "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
