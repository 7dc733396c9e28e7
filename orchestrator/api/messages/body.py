"""Parses the body of a send request: JSON, with a file in base64, or multipart with the raw file.

Only these bodies may be larger than 1 MiB. Base64 is decoded while the JSON is parsed, and a multipart body is parsed
as it arrives, so there is one copy of a file in memory, besides the JSON that contains it.
"""

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
from orchestrator.errors import InvalidInputError, TooLargeError

MIB = 1 << 20
MAX_JSON_BYTES = MAX_MEDIA_BYTES // 3 * 4 + MIB
"""Base64 encodes three bytes as four characters."""
TOO_LARGE = f"the file is larger than {MAX_MEDIA_BYTES // MIB} MiB: send a smaller file"

_EXPECTED_PARTS = "expected the parts `message` (JSON) and `file`"
_LARGE_BODIES = re.compile(r"/api/bots/[^/]*/messages")
_LINE_AND_COLUMN = re.compile(r" at line (\d+) column (\d+)$")


def takes_files(method: str, path: str) -> bool:
    """Whether a request may have a body of `MAX_JSON_BYTES`."""
    return method == "POST" and _LARGE_BODIES.fullmatch(path) is not None


def declared_size(request: Request) -> int:
    """Upper limit of the body's size in bytes."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else MAX_JSON_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMessage:
    """The message of a send request."""

    to_chat: str
    content: dict[str, Any]
    """In the format of the contract."""
    quote: dict[str, Any] | None
    file: bytes | None
    queue: bool

    def digest(self) -> str:
        """Hash that is equal for repetitions of a request."""
        parts = json.dumps([self.to_chat, self.content, self.quote], sort_keys=True).encode()
        whole = hashlib.sha256(parts)
        whole.update(b"" if self.file is None else hashlib.sha256(self.file).digest())
        return whole.hexdigest()


async def read(request: Request) -> ParsedMessage:
    """The message in a request's body.

    Raises RequestValidationError, InvalidInputError and TooLargeError.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            return await _multipart(request)
        if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
            return _with_file(_validated(await _whole(request)), None)
    except ClientDisconnect:
        raise InvalidInputError("the connection was closed before the body was complete") from None
    raise RequestValidationError([{"type": "model_attributes_type", "loc": ("body",), "msg": "", "input": None}])


async def _whole(request: Request) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
    return body


class _InMemoryParser(MultiPartParser):
    spool_max_size = MAX_MEDIA_BYTES + MIB  # /tmp of the container is small


async def _multipart(request: Request) -> ParsedMessage:
    parser = _InMemoryParser(request.headers, request.stream(), max_files=1, max_fields=1, max_part_size=MIB)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as exc:
        detail = exc.message if isinstance(exc, MultiPartException) else "the Content-Type has no boundary"
        raise InvalidInputError(
            f"the multipart body is malformed: {detail.rstrip('.')}; {_EXPECTED_PARTS}", code="malformed-multipart"
        ) from exc
    try:
        message, file = form.get("message"), form.get("file")
        if not isinstance(message, str) or set(form) - {"message", "file"}:
            raise InvalidInputError(_EXPECTED_PARTS, code="malformed-multipart")
        return _with_file(_validated(message.encode()), file if isinstance(file, UploadFile) else None)
    finally:
        await form.close()


def _validated(body: bytes | bytearray) -> MessageBody:
    try:
        return MessageBody.model_validate_json(body)
    except ValidationError as exc:
        raise RequestValidationError([_located(error, body) for error in exc.errors(include_url=False)]) from None


def _located(error: Any, body: bytes | bytearray) -> dict[str, Any]:
    if error["type"] == "json_invalid":
        text = str(error["ctx"]["error"])
        where = _LINE_AND_COLUMN.search(text)
        line, column = (int(where[1]), int(where[2])) if where else (1, 0)
        position = sum(len(part) + 1 for part in body.split(b"\n", line - 1)[: line - 1]) + max(0, column - 1)
        return {"type": "json_invalid", "loc": ("body", position), "ctx": {"error": _LINE_AND_COLUMN.sub("", text)}}
    path = error["loc"]
    if path[:1] == ("content",):
        path = (path[0], *path[2:])  # pydantic inserts the content's type, which is not part of the JSON path
    return {"type": error["type"], "loc": ("body", *path), "msg": error["msg"], "ctx": error.get("ctx")}


def _with_file(new: MessageBody, part: UploadFile | None) -> ParsedMessage:
    content = new.content
    if content is None:
        if part is not None:
            raise InvalidInputError(
                "message is plain text and takes no file: describe the file in content", code="unexpected-file"
            )
        return _parsed_message(new, {"type": "text", "text": new.message}, None)
    described = content.model_dump(by_alias=True, exclude={"data"}, exclude_none=True)
    if not isinstance(content, FileContent):
        if part is not None:
            raise InvalidInputError(
                f"content of type {content.type} takes no file: omit the part `file`", code="unexpected-file"
            )  # type: ignore[union-attr, unused-ignore]
        return _parsed_message(new, described, None)
    if (content.data is None) == (part is None):
        raise InvalidInputError(
            "send the file either as content.data (base64) or as the part `file`", code="missing-file"
        )
    file = content.data
    if part is not None:
        # Read at once: Python then returns the buffer itself, not a copy.
        file = part.file.read()
        described.setdefault("mimetype", (part.content_type or "").strip())
        if isinstance(content, DocumentContent) and part.filename:
            described.setdefault("fileName", part.filename)
    if not file:
        raise InvalidInputError("the file is empty", code="missing-file")
    if len(file) > MAX_MEDIA_BYTES:
        raise TooLargeError(TOO_LARGE)
    return _parsed_message(new, _revalidated(described), file)


def _revalidated(described: dict[str, Any]) -> dict[str, Any]:
    """The content validated again with the type and name from the multipart part."""
    for field, needed in (("mimetype", True), ("fileName", described["type"] == "document")):
        if needed and not described.get(field):
            raise RequestValidationError([{"type": "missing", "loc": ("body", "content", field), "msg": "is required"}])
    again = _validated(json.dumps({"to": "10000000", "content": described}).encode())
    if again.content is None:
        raise InvalidInputError("the type and name of the part `file` are invalid")
    return again.content.model_dump(by_alias=True, exclude={"data"}, exclude_none=True)


def _parsed_message(new: MessageBody, content: dict[str, Any], file: bytes | None) -> ParsedMessage:
    quote = None if new.quote is None else new.quote.model_dump(by_alias=True, exclude_none=True)
    return ParsedMessage(to_chat=new.to, content=content, quote=quote, file=file, queue=new.queue)
