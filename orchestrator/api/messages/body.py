"""Reads the body of a call that sends: JSON, with a file in base64, or multipart with the file as it is.

Bodies of this call alone may be larger than 1 MiB. Base64 is decoded while the JSON is read, and a multipart body is
taken apart as it arrives, so of a file there is one copy, beside the JSON that it stands in.
"""

import asyncio
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from bot_runtime.contract import MAX_MEDIA_BYTES
from orchestrator.api.messages.schemas import DocumentContent, FileContent, MessageBody
from orchestrator.errors import InvalidInput, NoAnswer, TooLarge

MIB = 1 << 20
MAX_JSON_BYTES = MAX_MEDIA_BYTES // 3 * 4 + MIB
"""Base64 makes three bytes four characters."""
READ_SECONDS = 120.0
TOO_LARGE = f"a file may have at most {MAX_MEDIA_BYTES // MIB} MiB"

_LARGE_BODIES = re.compile(r"/api/bots/[^/]*/messages")
_LINE_AND_COLUMN = re.compile(r" at line (\d+) column (\d+)$")


def takes_files(method: str, path: str) -> bool:
    """Whether a call may have a body of `MAX_JSON_BYTES`."""
    return method == "POST" and _LARGE_BODIES.fullmatch(path) is not None


def announced(request: Request) -> int:
    """How many bytes the body will have at most."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else MAX_JSON_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMessage:
    """What the caller asks for."""

    to_chat: str
    content: dict[str, Any]
    """As the contract has it."""
    quote: dict[str, Any] | None
    file: bytes | None
    queue: bool

    def digest(self) -> str:
        """What makes a repeated call the same call."""
        parts = json.dumps([self.to_chat, self.content, self.quote], sort_keys=True).encode()
        whole = hashlib.sha256(parts)
        whole.update(b"" if self.file is None else hashlib.sha256(self.file).digest())
        return whole.hexdigest()


async def read(request: Request) -> ParsedMessage:
    """The message in a request's body.

    Raises RequestValidationError, InvalidInput, TooLarge, and NoAnswer when the body does not arrive in time.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(READ_SECONDS):
            if kind == "multipart/form-data":
                return await _multipart(request)
            if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
                return _given(_parsed(await _whole(request)), None)
    except TimeoutError:
        raise NoAnswer("the body did not arrive in time", code="body-timeout") from None
    except ClientDisconnect:
        raise InvalidInput("the connection ended before the body did") from None
    raise RequestValidationError([{"type": "model_attributes_type", "loc": ("body",), "msg": "", "input": None}])


async def _whole(request: Request) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
    return body


class _InMemoryParser(MultiPartParser):
    spool_max_size = MAX_MEDIA_BYTES + MIB  # the container's /tmp is small


async def _multipart(request: Request) -> ParsedMessage:
    parser = _InMemoryParser(request.headers, request.stream(), max_files=1, max_fields=1, max_part_size=MIB)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as exc:
        detail = exc.message if isinstance(exc, MultiPartException) else "it has no boundary"
        raise InvalidInput(f"the multipart body cannot be read: {detail}", code="malformed-multipart") from exc
    try:
        message, file = form.get("message"), form.get("file")
        if not isinstance(message, str) or set(form) - {"message", "file"}:
            raise InvalidInput("send the parts `message` (JSON) and `file`", code="malformed-multipart")
        return _given(_parsed(message.encode()), file if isinstance(file, UploadFile) else None)
    finally:
        await form.close()


def _parsed(body: bytes | bytearray) -> MessageBody:
    try:
        return MessageBody.model_validate_json(body)
    except ValidationError as exc:
        raise RequestValidationError([_located(error, body) for error in exc.errors(include_url=False)]) from None


def _located(error: Any, body: bytes | bytearray) -> dict[str, Any]:
    if error["type"] == "json_invalid":
        said = str(error["ctx"]["error"])
        where = _LINE_AND_COLUMN.search(said)
        line, column = (int(where[1]), int(where[2])) if where else (1, 0)
        position = sum(len(part) + 1 for part in body.split(b"\n", line - 1)[: line - 1]) + max(0, column - 1)
        return {"type": "json_invalid", "loc": ("body", position), "ctx": {"error": _LINE_AND_COLUMN.sub("", said)}}
    path = error["loc"]
    if path[:1] == ("content",):
        path = (path[0], *path[2:])  # pydantic names the kind of content in between, which no caller has written
    return {"type": error["type"], "loc": ("body", *path), "msg": error["msg"], "ctx": error.get("ctx")}


def _given(new: MessageBody, part: UploadFile | None) -> ParsedMessage:
    content = new.content
    if content is None:
        if part is not None:
            raise InvalidInput("a plain message has no file: send it as content", code="unexpected-file")
        return _made(new, {"type": "text", "text": new.message}, None)
    described = content.model_dump(by_alias=True, exclude={"data"}, exclude_none=True)
    if not isinstance(content, FileContent):
        if part is not None:
            raise InvalidInput(f"a {content.type} has no file", code="unexpected-file")  # type: ignore[union-attr, unused-ignore]
        return _made(new, described, None)
    if (content.data is None) == (part is None):
        raise InvalidInput("send the file either in content.data, in base64, or as the part `file`", code="no-file")
    file = content.data
    if part is not None:
        # All of it at once: Python gives out the buffer itself then, not a copy.
        file = part.file.read()
        described.setdefault("mimetype", (part.content_type or "").strip())
        if isinstance(content, DocumentContent) and part.filename:
            described.setdefault("fileName", part.filename)
    if not file:
        raise InvalidInput("the file is empty", code="no-file")
    if len(file) > MAX_MEDIA_BYTES:
        raise TooLarge(TOO_LARGE)
    return _made(new, _complete(described), file)


def _complete(described: dict[str, Any]) -> dict[str, Any]:
    """The description of a file once more, with what came from the file's part."""
    for field, needed in (("mimetype", True), ("fileName", described["type"] == "document")):
        if needed and not described.get(field):
            raise RequestValidationError([{"type": "missing", "loc": ("body", "content", field), "msg": "is needed"}])
    again = _parsed(json.dumps({"to": "10000000", "content": described}).encode())
    if again.content is None:
        raise InvalidInput("the file's part cannot be read")
    return again.content.model_dump(by_alias=True, exclude={"data"}, exclude_none=True)


def _made(new: MessageBody, content: dict[str, Any], file: bytes | None) -> ParsedMessage:
    quote = None if new.quote is None else new.quote.model_dump(by_alias=True, exclude_none=True)
    return ParsedMessage(to_chat=new.to, content=content, quote=quote, file=file, queue=new.queue)
