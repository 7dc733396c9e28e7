"""The examples of docs/api.md, run in their order and compared with the responses."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot_runtime import contract
from orchestrator.api.app import create_app
from orchestrator.settings import Settings
from tests.integration.api.conftest import ADDRESS, Fleet
from tests.integration.api.fake_runtime import FakeRuntime
from tests.integration.api.live_bot import runtime_port  # noqa: F401

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
KEYED = {"/api/bots/containers/health", "phases"}
"""Objects keyed by ids, which differ from those of the example."""
MADE = {"POST /api/commands": "COMMAND", "POST /api/bots/{id}/messages": "MESSAGE", "POST /api/keys": "KEY_ID"}
"""The names that the page uses for the ids of created resources."""


@dataclass
class Example:
    """A request, and the response that the page shows."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    parts: dict[str, str]
    answer: Any = None


def examples() -> list[Example]:
    found: list[Example] = []
    for kind, text in re.findall(r"^```(sh|json)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        if kind == "json":
            found[-1].answer = json.loads(text)
        else:
            found += [
                _call(words) for words in re.split(r"^(?=curl )", text.replace("\\\n", ""), flags=re.MULTILINE) if words
            ]
    return found


def _call(command: str) -> Example:
    words = iter(shlex.split(command)[1:])
    call = Example("GET", "", {}, None, {})
    for word in words:
        match word:
            case "-X":
                call.method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                if value:
                    call.headers[name] = value
            case "--json":
                call.body = json.loads(next(words))
            case "-F":
                name, _, value = next(words).partition("=")
                call.parts[name] = value
            case "-o":
                next(words)
            case _:
                call.path = word.removeprefix("$BOTDOCK")
    if call.method == "GET" and (call.body is not None or call.parts):
        call.method = "POST"
    return call


EXAMPLES = examples()


def operation(example: Example) -> str:
    """The operation in the OpenAPI document."""
    path = example.path.partition("?")[0]
    for known, methods in REFERENCE.items():
        if example.method.lower() in methods and re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(known)), path):
            return f"{example.method} {known}"
    raise AssertionError(f"{example.method} {path} is not an operation")


REFERENCE: dict[str, Any] = create_app(Settings(database_url="postgresql://nobody@127.0.0.1:9/none")).openapi()["paths"]


def test_every_operation_has_an_example() -> None:
    calls = {f"{method.upper()} {path}" for path, methods in REFERENCE.items() for method in methods}
    assert calls - {operation(example) for example in EXAMPLES} == set()


class Caller:
    """Runs the examples in order and remembers the ids that later ones need."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._known: dict[str, str] = {}

    async def call(self, example: Example) -> None:
        """Run an example: it succeeds, and its response has the shape that the page shows."""
        answer = await self._send(example)
        assert answer.is_success, (example, answer.text)
        if example.answer is not None:
            name = operation(example).partition(" ")[2]
            assert shape(answer.json(), name) == shape(example.answer, name), example.path
        made = MADE.get(operation(example))
        if made is not None:
            self._known[made] = answer.json()["id"]

    async def _send(self, example: Example) -> httpx.Response:
        path = re.sub(r"\$(\w+)", lambda match: self._known[match[1]], example.path)
        path = path.replace("wait=30", "wait=0.01")
        if not example.parts:
            return await self._client.request(example.method, path, headers=example.headers, json=example.body)
        name, _, kind = example.parts["file"].partition(";type=")
        return await self._client.request(
            example.method,
            path,
            headers=example.headers,
            data={"message": example.parts["message"]},
            files={"file": (name, b"bytes", kind)},
        )


async def test_the_examples_work(
    admin: httpx.AsyncClient, fleet: Fleet, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.api.pool.routes.QR_WAIT_SECONDS", 0)
    fake.media["3EB0C431C26A1916E07E"] = ("image/jpeg", None, b"image")
    caller = Caller(admin)
    for example in EXAMPLES:
        await caller.call(example)
        match operation(example).removeprefix("POST /api/bots/{id}/"), example.path:
            case "POST /api/bots", _ if example.body["id"] == "bot-1":
                await _first_seen(fleet, fake)
            case "approve", _:
                await fleet.observe("bot-1", phase="pairing", address=ADDRESS)
                await fleet.event("bot-1", "phase-change", dict.fromkeys(("from", "to", "reason", "message"), ""))
            case "POST /api/whatsapp/sessions", _:
                await fleet.observe(example.body["companyId"], phase="starting", paired_number="79001112233")
            case "restart", _:
                fake.connection = contract.ConnectionState.PAIRING
    assert fake.logouts == 1


async def _first_seen(fleet: Fleet, fake: FakeRuntime) -> None:
    """Write what the controller and the paired bot would have written."""
    fake.token = (await fleet.bot_row("bot-1"))["runtime_token"]
    await fleet.event("bot-1", "phase-change", dict.fromkeys(("from", "to", "reason", "message"), ""))
    await fleet.sql(
        "INSERT INTO groups (id, bot_key, server_name, subject, description) "
        "SELECT '120363041234567890@g.us', key, server_name, 'Team', '' FROM bots WHERE id = 'bot-1'"
    )
    await fleet.sql(
        "INSERT INTO group_members (bot_key, group_id, id, phone_number, admin) "
        "SELECT key, '120363041234567890@g.us', '1@lid', '4917', true FROM bots WHERE id = 'bot-1'"
    )


def shape(value: Any, name: str = "") -> Any:
    """The field names of a body; of a list, or an object keyed by ids, those of the first item."""
    if isinstance(value, dict) and name in KEYED:
        value = list(value.values())
    if isinstance(value, dict):
        return {name: shape(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1] if isinstance(item, dict)]
    return None
