"""The media host and its store."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from whatsapp_simulator.server.media import MediaHost
from whatsapp_simulator.server.web import HttpRequest
from whatsapp_simulator.world.files import Files

HOST, DATA = "media.whatsapp.net", b"encrypted"
TOKEN = base64.urlsafe_b64encode(hashlib.sha256(DATA).digest()).decode()


def host(files: Files | None = None) -> MediaHost:
    return MediaHost(files or Files(), HOST, "word")


def request(method: str, target: str, body: bytes = b"", name: str = HOST) -> HttpRequest:
    return HttpRequest(name, method, target, body)


def test_uploaded_files_are_available_until_they_are_deleted() -> None:
    media = host()

    put = media(request("POST", f"/mms/image/{TOKEN}?auth=word&token={TOKEN}", DATA))

    assert put is not None
    where = json.loads(put.body)
    assert where["url"] == f"https://{HOST}{where['direct_path']}"
    got = media(request("GET", where["direct_path"] + "&hash=x&mms-type=image"))
    assert got is not None
    assert (got.status, got.body) == (200, DATA)
    deleted = media(request("DELETE", f"/mms/image/{TOKEN}?auth=word"))
    assert deleted is not None
    assert deleted.status == 200
    assert media(request("GET", where["direct_path"])) is None


@pytest.mark.parametrize(
    ("http_request", "status"),
    [
        (request("POST", f"/mms/image/{TOKEN}?auth=wrong", DATA), 401),
        (request("POST", f"/mms/image/{TOKEN}", DATA), 401),
        (request("POST", f"/mms/image/{TOKEN}?auth=word", b"other"), 400),
        (request("POST", "/mms/image/é?auth=word", DATA), 400),
    ],
)
def test_invalid_uploads_are_rejected(http_request: HttpRequest, status: int) -> None:
    answer = host()(http_request)

    assert answer is not None
    assert answer.status == status


@pytest.mark.parametrize(
    "http_request",
    [
        request("GET", "/v/none.enc"),
        request("PUT", f"/mms/image/{TOKEN}?auth=word", DATA),
        request("POST", "/elsewhere?auth=word", DATA),
        request("POST", f"/mms/image/{TOKEN}?auth=word", DATA, "mmg.whatsapp.net"),
    ],
)
def test_other_requests_return_nothing(http_request: HttpRequest) -> None:
    assert host()(http_request) is None


def test_the_oldest_files_are_deleted_when_the_store_is_full() -> None:
    files = Files(max_bytes=10)
    for name in "abc":
        files.put(f"/{name}", b"12345")

    assert [files.get(f"/{name}") for name in "abc"] == [None, b"12345", b"12345"]
    touched = files.take_touched()
    assert (touched["/a"], touched["/b"] is not None) == (None, True)
    assert files.take_touched() == {}
    files.put("/large", b"x" * 100)
    assert files.get("/large") == b"x" * 100
