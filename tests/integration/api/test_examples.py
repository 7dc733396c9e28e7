"""The examples of docs/api.md, tried in their order, and compared with what is answered."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.api.app import create_app
from orchestrator.settings import Settings
from tests.integration.api.conftest import ADDRESS, Fleet
from tests.integration.api.fake_runtime import FakeRuntime
from tests.integration.api.live import runtime_port  # noqa: F401

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
TAGS = {"messages", "groups", "commands", "pool"}


@dataclass
class Example:
    """One call, and the answer that the page shows."""

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
    """The call's name in the reference."""
    path = example.path.partition("?")[0]
    for known, methods in REFERENCE.items():
        if example.method.lower() in methods and re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(known)), path):
            return f"{example.method} {known}"
    raise AssertionError(f"{example.method} {path} is no call")


REFERENCE: dict[str, Any] = create_app(Settings(database_url="postgresql://nobody@127.0.0.1:9/none")).openapi()["paths"]


def test_every_call_has_an_example() -> None:
    calls = {
        f"{method.upper()} {path}"
        for path, methods in REFERENCE.items()
        for method, described in methods.items()
        if described["tags"][0] in TAGS
    }
    assert calls <= {operation(example) for example in EXAMPLES}


async def test_the_examples_work(
    operator: httpx.AsyncClient, bot: str, fleet: Fleet, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.api.pool.QR_WAIT_SECONDS", 0)
    await fleet.sql("UPDATE bots SET approval_status = 'approved'")
    fake.token = (await fleet.wanted(bot))["runtime_token"]
    fake.media["3EB0C431C26A1916E07E"] = ("image/jpeg", None, b"picture")
    await fleet.observe(bot, phase="online", address=ADDRESS)
    await fleet.sql(
        "INSERT INTO groups (id, bot_id, server_name, subject, description, members) "
        "VALUES ('120363041234567890@g.us', 'bot-1', 'server1', 'Team', '', %(members)s)",
        members=json.dumps([{"id": "1@lid", "phoneNumber": "4917", "admin": True}]),
    )
    known: dict[str, str] = {}
    for example in EXAMPLES:
        path = re.sub(r"\$(\w+)", lambda match: known[match[1]], example.path).replace("wait=30", "wait=0.01")
        if example.parts:
            files = {
                "file": (example.parts["file"].partition(";")[0], b"bytes", example.parts["file"].partition("type=")[2])
            }
            answer = await operator.request(
                example.method, path, headers=example.headers, data={"message": example.parts["message"]}, files=files
            )
        else:
            answer = await operator.request(example.method, path, headers=example.headers, json=example.body)
        assert answer.is_success, (example, answer.text)
        if example.answer is not None:
            assert shape(answer.json()) == shape(example.answer), example.path
        if answer.is_success and example.method == "POST" and "id" in answer.json():
            known["COMMAND" if "/commands" in path else "MESSAGE"] = answer.json()["id"]


def shape(value: Any) -> Any:
    """The names in a body; of a list those of its first item."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None
