"""Upload a phone's file to the media host, encrypted in the same way as by clients."""

from __future__ import annotations

import hashlib

from whatsapp_simulator.content import files
from whatsapp_simulator.content.model import Kind, Media
from whatsapp_simulator.network import Network
from whatsapp_simulator.world.files import file_location

_MIMETYPES = {
    Kind.IMAGE: "image/jpeg",
    Kind.VIDEO: "video/mp4",
    Kind.AUDIO: "audio/ogg; codecs=opus",
    Kind.DOCUMENT: "application/octet-stream",
    Kind.STICKER: "image/webp",
}


def upload(network: Network, data: bytes, kind: Kind, mimetype: str, *, encrypted: bool = True) -> Media:
    """Store a file as this kind of media; files of channels are not encrypted."""
    key = network.world.random(32) if encrypted else b""
    stored = files.encrypt(data, key, kind) if encrypted else data
    digest = hashlib.sha256(stored).digest()
    path = f"/v/{digest.hex()}.enc"
    network.world.files.put(path, stored)
    where = file_location(network.media_host, path)
    return Media(
        path=where["direct_path"],
        url=where["url"],
        mimetype=mimetype or _MIMETYPES[kind],
        size=len(data),
        sha256=hashlib.sha256(data).digest(),
        key=key,
        enc_sha256=digest if encrypted else b"",
    )
