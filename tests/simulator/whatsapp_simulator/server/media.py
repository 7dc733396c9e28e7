"""The media host: clients upload encrypted files and download them by path. It never decrypts them."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from whatsapp_simulator.server.web import HttpRequest, HttpResponse
from whatsapp_simulator.world.files import Files, file_location

_UPLOADS = ("/mms/", "/newsletter/")


@dataclass(frozen=True, slots=True)
class MediaHost:
    """`POST /mms/{type}/{token}?auth=` stores a file; the token is its SHA-256. `DELETE` on this path removes it."""

    files: Files
    host: str
    auth: str

    def __call__(self, request: HttpRequest) -> HttpResponse | None:
        """Respond to a request; None if nothing is found."""
        url = urlsplit(request.target)
        if request.host != self.host:
            return None
        if request.method == "GET":
            data = self.files.get(url.path)
            return None if data is None else HttpResponse(200, "application/octet-stream", data)
        if not url.path.startswith(_UPLOADS):
            return None
        if parse_qs(url.query).get("auth") != [self.auth]:
            return _problem(401, "not authorized: the auth token from media_conn is missing or wrong")
        digest = _digest(url.path.rpartition("/")[2])
        path = f"/v/{digest.hex()}.enc"
        if request.method == "DELETE":
            self.files.remove(path)
            return HttpResponse(200, "application/json", b"{}")
        if request.method != "POST":
            return None
        if hashlib.sha256(request.body).digest() != digest:
            return _problem(400, "the token is not the SHA-256 of the file")
        self.files.put(path, request.body)
        return HttpResponse(200, "application/json", json.dumps(file_location(self.host, path)).encode())


def _digest(token: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(token.replace("%3D", "=") + "==")
    except ValueError:
        return b""


def _problem(status: int, text: str) -> HttpResponse:
    return HttpResponse(status, "application/json", json.dumps({"error": text}).encode())
