"""WhatsApp's binary XML: stanzas as trees of `Node`.

Decoding needs the client's token tables. Encoding uses only raw strings, which every client can read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from whatsapp_simulator.protocol.jid import LID, USER, Jid, parse
from whatsapp_simulator.tokens import Tokens

_LIST_EMPTY: Final = 0
_DICTIONARY: Final = 236
_INTEROP_JID, _FB_JID, _DEVICE_JID = 245, 246, 247
_LIST8, _LIST16 = 248, 249
_JID_PAIR, _HEX = 250, 251
_BINARY8, _BINARY20, _BINARY32 = 252, 253, 254
_NIBBLE: Final = 255
_COMPRESSED: Final = 2
_LARGE: Final = 1 << 20
_NIBBLES: Final = "0123456789-.???\0"
_HEX_DIGITS: Final = "0123456789ABCDEF"
_DOMAINS: Final = {0: USER, 1: LID, 128: "hosted", 129: "hosted.lid"}
_DOMAIN_BYTES: Final = {server: byte for byte, server in _DOMAINS.items()}

Content = bytes | list["Node"] | None
Attrs = dict[str, str | Jid]


class BinaryError(ValueError):
    """The bytes are not a valid stanza."""


@dataclass(slots=True)
class Node:
    """A stanza: tag, attributes (text or addresses) and either bytes, child nodes or nothing."""

    tag: str
    attrs: Mapping[str, str | Jid] = field(default_factory=dict)
    content: Content = None

    @property
    def children(self) -> list[Node]:
        """The child nodes; empty if the content is bytes or missing."""
        return self.content if isinstance(self.content, list) else []

    @property
    def data(self) -> bytes:
        """The content as bytes; empty if it is child nodes or missing."""
        return self.content if isinstance(self.content, bytes) else b""

    def child(self, *path: str) -> Node | None:
        """The first child with this tag; with more tags, the descendant along this path. None if there is none."""
        node: Node | None = self
        for tag in path:
            node = next((child for child in node.children if child.tag == tag), None) if node else None
        return node

    def child_data(self, tag: str) -> bytes:
        """The bytes of the first child with this tag; empty if there is none."""
        child = self.child(tag)
        return child.data if child else b""

    def walk(self, tag: str) -> Iterator[Node]:
        """All children with this tag."""
        return (child for child in self.children if child.tag == tag)

    def get(self, name: str) -> str:
        """An attribute as text; empty if missing."""
        return str(self.attrs.get(name, ""))

    def jid(self, name: str) -> Jid | None:
        """An attribute as an address; None if it is missing or not an address."""
        value = self.attrs.get(name)
        if isinstance(value, str):
            try:
                return parse(value)
            except ValueError:
                return None
        return value


def encode(node: Node) -> bytes:
    """Serialize a stanza; a large one is compressed, because a frame has less than 16 MiB."""
    out = bytearray(b"\0")
    _write_node(out, node)
    if len(out) < _LARGE:
        return bytes(out)
    return bytes((_COMPRESSED,)) + zlib.compress(memoryview(out)[1:], 1)


def decode(data: bytes, tokens: Tokens) -> Node:
    """Parse a stanza; BinaryError if it is malformed."""
    try:
        body = zlib.decompress(data[1:]) if data[0] & _COMPRESSED else data[1:]
        return _Reader(body, tokens).node()
    except (IndexError, UnicodeDecodeError, zlib.error) as exc:
        raise BinaryError(f"malformed stanza: {exc}") from exc


def _write_node(out: bytearray, node: Node) -> None:
    _write_list(out, 1 + 2 * len(node.attrs) + (node.content is not None))
    _write_bytes(out, node.tag.encode())
    for name, value in node.attrs.items():
        _write_bytes(out, name.encode())
        if isinstance(value, Jid):
            _write_jid(out, value)
        else:
            _write_bytes(out, value.encode())
    if isinstance(node.content, bytes):
        _write_bytes(out, node.content)
    elif node.content is not None:
        _write_list(out, len(node.content))
        for child in node.content:
            _write_node(out, child)


def _write_list(out: bytearray, size: int) -> None:
    if size == 0:
        out.append(_LIST_EMPTY)
    elif size < 256:
        out += bytes((_LIST8, size))
    else:
        out.append(_LIST16)
        out += size.to_bytes(2, "big")


def _write_bytes(out: bytearray, value: bytes) -> None:
    if len(value) < 256:
        out += bytes((_BINARY8, len(value)))
    elif len(value) < 1 << 20:
        out.append(_BINARY20)
        out += len(value).to_bytes(3, "big")
    else:
        out.append(_BINARY32)
        out += len(value).to_bytes(4, "big")
    out += value


def _write_jid(out: bytearray, jid: Jid) -> None:
    if jid.device and jid.server in _DOMAIN_BYTES:
        out += bytes((_DEVICE_JID, _DOMAIN_BYTES[jid.server], jid.device))
        _write_bytes(out, jid.user.encode())
        return
    out.append(_JID_PAIR)
    if jid.user:
        _write_bytes(out, jid.user.encode())
    else:
        out.append(_LIST_EMPTY)
    _write_bytes(out, jid.server.encode())


class _Reader:
    def __init__(self, data: bytes, tokens: Tokens) -> None:
        self._data = data
        self._tokens = tokens
        self._position = 0

    def node(self) -> Node:
        size = self._list_size(self._byte())
        tag = self._text(self._byte())
        if size == 0 or not tag:
            raise BinaryError("a stanza without a tag")
        attrs: dict[str, str | Jid] = {}
        for _ in range((size - 1) // 2):
            name = self._text(self._byte())
            attrs[name] = self._value(self._byte())
        return Node(tag, attrs, None if size % 2 else self._content(self._byte()))

    def _content(self, mark: int) -> Content:
        if mark in (_LIST8, _LIST16):
            return [self.node() for _ in range(self._list_size(mark))]
        if mark == _LIST_EMPTY:
            return None
        if mark in (_BINARY8, _BINARY20, _BINARY32):
            return self._take(self._binary_size(mark))
        return str(self._value(mark)).encode()

    def _value(self, mark: int) -> str | Jid:
        if mark == _JID_PAIR:
            user = self._text(self._byte())
            return Jid(user, self._text(self._byte()))
        if mark == _DEVICE_JID:
            domain, device = self._byte(), self._byte()
            return Jid(self._text(self._byte()), _DOMAINS.get(domain, USER), device)
        if mark in (_FB_JID, _INTEROP_JID):
            raise BinaryError("addresses of other networks are not supported")
        return self._text(mark)

    def _text(self, mark: int) -> str:
        if mark == _LIST_EMPTY:
            return ""
        if mark < _DICTIONARY:
            return self._tokens.single[mark]
        if mark < _DICTIONARY + len(self._tokens.double):
            return self._tokens.double[mark - _DICTIONARY][self._byte()]
        if mark in (_BINARY8, _BINARY20, _BINARY32):
            return self._take(self._binary_size(mark)).decode()
        if mark in (_NIBBLE, _HEX):
            return self._packed(_NIBBLES if mark == _NIBBLE else _HEX_DIGITS)
        raise BinaryError(f"unexpected mark {mark} at {self._position}")

    def _packed(self, alphabet: str) -> str:
        size = self._byte()
        raw = self._take(size & 0x7F)
        text = "".join(alphabet[byte >> 4] + alphabet[byte & 15] for byte in raw)
        return text[:-1] if size & 0x80 else text

    def _list_size(self, mark: int) -> int:
        if mark == _LIST_EMPTY:
            return 0
        if mark == _LIST8:
            return self._byte()
        if mark == _LIST16:
            return self._number(2)
        raise BinaryError(f"unexpected list mark {mark} at {self._position}")

    def _binary_size(self, mark: int) -> int:
        if mark == _BINARY8:
            return self._byte()
        return self._number(3) & 0xFFFFF if mark == _BINARY20 else self._number(4)

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _byte(self) -> int:
        value = self._data[self._position]
        self._position += 1
        return value

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._data):
            raise BinaryError("the stanza ends inside a value")
        value = self._data[self._position : end]
        self._position = end
        return value
