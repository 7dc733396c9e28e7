"""Sending files, in base64 or multipart: their maximum size, and the limit of concurrent uploads."""

import asyncio
import base64
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from orchestrator.api.upload_memory import UploadMemory
from tests.integration.api.conftest import CHAT, HELLO, Fleet, problem

MIB = 1 << 20
IMAGE = b"\xff\xd8image\x00" * 1000


async def test_a_file_in_base64(operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
    content = {
        "type": "image",
        "mimetype": "image/jpeg",
        "data": base64.b64encode(IMAGE).decode(),
        "caption": "c",
    }
    answer = await operator.post(sender, json={"to": CHAT, "content": content})
    assert answer.status_code == 202, answer.text
    assert answer.json()["content"] == {"type": "image", "mimetype": "image/jpeg", "caption": "c"}
    assert await fleet.sql("SELECT message_id, size, data FROM message_files") == [
        (answer.json()["id"], len(IMAGE), IMAGE)
    ]


async def test_a_file_as_multipart(operator: httpx.AsyncClient, sender: str, fleet: Fleet) -> None:
    message = json.dumps({"to": CHAT, "content": {"type": "document", "caption": "the bill"}})
    files = {"file": ("Rechnung März.pdf", IMAGE, "application/pdf")}
    answer = await operator.post(sender, data={"message": message}, files=files)
    assert answer.status_code == 202, answer.text
    content = answer.json()["content"]
    assert (content["mimetype"], content["fileName"]) == ("application/pdf", "Rechnung März.pdf")
    assert await fleet.sql("SELECT data FROM message_files") == [(IMAGE,)]


@pytest.mark.parametrize("way", ["base64", "part"])
async def test_the_largest_and_one_byte_more(operator: httpx.AsyncClient, sender: str, fleet: Fleet, way: str) -> None:
    largest = bytes(16 << 20)

    async def give(file: bytes) -> httpx.Response:
        content = {"type": "video", "mimetype": "video/mp4"}
        if way == "part":
            message = json.dumps({"to": CHAT, "content": content})
            return await operator.post(sender, data={"message": message}, files={"file": ("v", file)})
        encoded = base64.b64encode(file).decode()
        return await operator.post(sender, json={"to": CHAT, "content": {**content, "data": encoded}})

    assert (await give(largest)).status_code == 202
    assert await fleet.sql("SELECT size, octet_length(data) FROM message_files") == [(16 << 20, 16 << 20)]
    problem(await give(largest + b"x"), 413, "too-large")
    problem(await give(largest * 2), 413, "too-large")


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"data": {"message": "{}"}, "files": {"other": b"x"}}, "malformed-multipart"),
        ({"data": {"message": "{}", "more": "x"}, "files": {"file": b"x"}}, "malformed-multipart"),
        ({"files": {"message": b"{}"}}, "malformed-multipart"),
        ({"data": {"message": json.dumps(HELLO)}, "files": {"file": b"x"}}, "unexpected-file"),
    ],
)
async def test_invalid_parts(operator: httpx.AsyncClient, sender: str, parts: dict[str, Any], code: str) -> None:
    problem(await operator.post(sender, **parts), 422, code)


async def test_plain_fields_are_answered_with_the_expected_parts(operator: httpx.AsyncClient, sender: str) -> None:
    fields = {"to": (None, CHAT), "caption": (None, "Look")}
    detail = problem(await operator.post(sender, files=fields), 422, "malformed-multipart")
    assert "expected the parts `message` (JSON) and `file`" in detail


@pytest.mark.parametrize("file", [b"", None])
async def test_a_missing_file(operator: httpx.AsyncClient, sender: str, file: bytes | None) -> None:
    message = json.dumps({"to": CHAT, "content": {"type": "image", "mimetype": "image/png"}})
    files = {"nothing": (None, "")} if file is None else {"file": ("x", file)}
    answer = await operator.post(sender, data={"message": message}, files=files)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "raw", [b"", b"--x", b"--x\r\n\r\n", b"\xff" * 50, b"--x\r\nContent-Disposition: form-data\r\n\r\n"]
)
async def test_malformed_multipart_bodies(operator: httpx.AsyncClient, sender: str, raw: bytes) -> None:
    answer = await operator.post(sender, content=raw, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 422
    nothing = await operator.post(sender, content=raw, headers={"Content-Type": "multipart/form-data"})
    assert nothing.status_code == 422


async def test_hostile_names_and_types(operator: httpx.AsyncClient, sender: str) -> None:
    message = json.dumps({"to": CHAT, "content": {"type": "document"}})
    for kind in ("text/html; charset=<x>", "nonsense", "image/<svg>", ""):
        files = {"file": ("x.pdf", b"x", kind)}
        answer = await operator.post(sender, data={"message": message}, files=files)
        assert answer.status_code == 422, kind


@pytest.fixture
def crowded(app: FastAPI) -> None:
    """Memory for one file of a few MiB at a time."""
    context = app.state.context
    app.state.context = dataclasses.replace(context, upload_memory=UploadMemory(maximum=4 * MIB, timeout_seconds=0.05))


@pytest.mark.usefixtures("crowded")
async def test_concurrent_uploads_wait_or_are_rejected(operator: httpx.AsyncClient, sender: str) -> None:
    content = {"type": "video", "mimetype": "video/mp4", "data": base64.b64encode(bytes(2 * MIB)).decode()}
    body = json.dumps({"to": CHAT, "content": content}).encode()
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        begun.set()
        yield body[:MIB]
        await may_end.wait()
        yield body[MIB:]

    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    slow = asyncio.create_task(operator.post(sender, content=slowly(), headers=headers))
    await begun.wait()
    refused = await operator.post(sender, content=body, headers=headers)
    problem(refused, 503, "busy")
    assert int(refused.headers["Retry-After"]) > 0
    assert (await operator.post(sender, json=HELLO)).status_code == 202  # a text reserves no memory
    may_end.set()
    assert (await slow).status_code == 202
    assert (await operator.post(sender, content=body, headers=headers)).status_code == 202


async def test_files_beyond_the_quota_of_a_server_are_refused(
    operator: httpx.AsyncClient, sender: str, app: FastAPI
) -> None:
    context = app.state.context
    settings = context.settings.model_copy(update={"queued_files_mb": 1})
    app.state.context = dataclasses.replace(context, settings=settings)
    half = base64.b64encode(bytes(600 << 10)).decode()
    message = {"to": CHAT, "content": {"type": "video", "mimetype": "video/mp4", "data": half}}
    assert (await operator.post(sender, json=message)).status_code == 202
    problem(await operator.post(sender, json=message), 507, "files-full")
    assert (await operator.post(sender, json=HELLO)).status_code == 202, "a text needs no such space"
