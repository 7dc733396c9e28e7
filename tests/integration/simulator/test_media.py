"""Encrypted uploads and downloads between a real neonize client and simulated contacts."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from PIL import Image

from tests.integration.simulator.harness import ChatPair
from whatsapp_simulator.content.model import Kind
from whatsapp_simulator.testing import BotError, SimulatorClient, SimulatorError
from whatsapp_simulator.testing.bot import blob, jid

pytestmark = pytest.mark.asyncio(loop_scope="session")

LARGE = 5_000_000
FIELDS = {
    Kind.IMAGE: "imageMessage",
    Kind.VIDEO: "videoMessage",
    Kind.AUDIO: "audioMessage",
    Kind.DOCUMENT: "documentMessage",
    Kind.STICKER: "stickerMessage",
}


def image(form: str) -> bytes:
    """A small image in this format (PNG, WEBP)."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FIELDS)
async def test_a_contact_sends_a_file_and_the_bot_downloads_it(pair: ChatPair, kind: Kind) -> None:
    data = f"the bytes of a {kind}".encode() * 1000

    sent = await pair.client.send_media(pair.contact, pair.number, data, kind, mimetype="application/x-test")

    got = await pair.bot.wait_for("message", id=sent)
    assert got["type"] == "media"
    assert got["content"][FIELDS[kind]]["mimetype"] == "application/x-test"
    downloaded = await pair.bot.call("download_any", {"content": sent})
    assert downloaded == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


async def test_a_file_arrives_with_its_metadata(pair: ChatPair) -> None:
    voice = await pair.client.send_media(pair.contact, pair.number, b"x", Kind.AUDIO, seconds=7, voice=True)
    page = await pair.client.send_media(
        pair.contact, pair.number, b"%PDF", Kind.DOCUMENT, file_name="a.pdf", caption="read me"
    )

    heard = (await pair.bot.wait_for("message", id=voice))["content"]["audioMessage"]
    assert (heard["PTT"], heard["seconds"], heard["mimetype"]) == (True, 7, "audio/ogg; codecs=opus")
    got = (await pair.bot.wait_for("message", id=page))["content"]["documentMessage"]
    assert (got["fileName"], got["caption"]) == ("a.pdf", "read me")


async def test_a_view_once_image(pair: ChatPair) -> None:
    sent = await pair.client.send_media(pair.contact, pair.number, b"a secret", view_once=True)

    got = await pair.bot.wait_for("message", id=sent)

    assert got["viewOnce"]
    assert got["content"]["imageMessage"]["viewOnce"]
    assert (await pair.bot.call("download_any", {"content": sent}))["size"] == len(b"a secret")


async def test_a_view_once_image_withheld_from_linked_devices(pair: ChatPair) -> None:
    await pair.client.send_media(pair.contact, pair.number, b"a secret", view_once=True, withheld=True)

    await pair.bot.wait_for("undecryptable-message")

    after = await pair.client.send(pair.contact, pair.number, "gone")
    await pair.bot.wait_for("message", id=after)


async def test_the_bot_sends_an_image(pair: ChatPair) -> None:
    data = image("PNG")
    sent = await pair.bot.call("send_image", jid(pair.contact_jid), blob(data), caption="look")

    item = await pair.client.wait_for_message(pair.contact, kind="image")

    assert (item.id, item.text) == (sent["ID"], "look")
    assert item.media is not None
    assert (item.media.mimetype, item.media.size, item.media.error) == ("image/png", len(data), None)
    assert item.media.sha256 == hashlib.sha256(data).hexdigest()
    assert await pair.client.media(pair.contact, item.id) == data


async def test_the_bot_sends_a_document_and_a_sticker(pair: ChatPair) -> None:
    chat = jid(pair.contact_jid)
    await pair.bot.call("send_document", chat, blob(b"1,2,3\n"), filename="a.csv", caption="numbers")
    await pair.bot.call("send_sticker", chat, blob(image("WEBP")), passthrough=True)

    document = await pair.client.wait_for_message(pair.contact, kind="document")
    sticker = await pair.client.wait_for_message(pair.contact, kind="sticker")

    assert document.media is not None
    assert (document.text, document.media.file_name) == ("numbers", "a.csv")
    assert await pair.client.media(pair.contact, document.id) == b"1,2,3\n"
    assert await pair.client.media(pair.contact, sticker.id) == image("WEBP")


@pytest.mark.parametrize(("kind", "member"), [(Kind.VIDEO, "MediaVideo"), (Kind.AUDIO, "MediaAudio")])
async def test_the_bot_sends_what_it_uploaded(pair: ChatPair, kind: Kind, member: str) -> None:
    data = b"\0\1\2\3" * (LARGE // 4)
    up = await pair.bot.call("upload", blob(data), {"enum": f"MediaType.{member}"}, timeout_seconds=60)
    message = {FIELDS[kind]: message_of(up) | {"mimetype": f"{kind}/mp4", "viewOnce": True}}
    await pair.bot.call("send_message", jid(pair.contact_jid), {"e2e": message})

    item = await pair.client.wait_for_message(pair.contact, kind=kind)

    assert item.media is not None
    assert (item.media.size, item.media.error, item.view_once) == (LARGE, None, True)
    assert await pair.client.media(pair.contact, item.id) == data


async def test_a_file_that_does_not_match_its_message_is_reported(pair: ChatPair) -> None:
    up = await pair.bot.call("upload", blob(b"an image"), {"enum": "MediaType.MediaVideo"})
    message = {"imageMessage": message_of(up) | {"mimetype": "image/png"}}
    await pair.bot.call("send_message", jid(pair.contact_jid), {"e2e": message})

    item = await pair.client.wait_for_message(pair.contact, kind="image")

    assert item.media is not None
    assert item.media.error == "the authentication code is wrong for a file of kind image"
    with pytest.raises(SimulatorError) as refused:
        await pair.client.media(pair.contact, item.id)
    assert (refused.value.status, refused.value.code) == (404, "no-media")


async def test_a_missing_file_cannot_be_downloaded(pair: ChatPair) -> None:
    nowhere = {"URL": "https://media.whatsapp.net/v/0.enc?x", "directPath": "/v/0.enc?x", "mediaKey": "a" * 43 + "="}
    hashes = {"fileSHA256": "a" * 43 + "=", "fileEncSHA256": "a" * 43 + "=", "fileLength": 3}

    with pytest.raises(BotError, match="404"):
        await pair.bot.call("download_any", {"e2e": {"imageMessage": nowhere | hashes}})


async def test_profile_pictures(pair: ChatPair, client: SimulatorClient) -> None:
    own = f"{pair.number}@s.whatsapp.net"
    await pair.bot.call("set_profile_photo", blob(image("JPEG")))
    assert (await client.profile(pair.number)).profile_picture

    found = await pair.bot.call("get_profile_picture", jid(own))
    assert found["URL"].startswith("https://media.whatsapp.net/profile-photos/")
    with pytest.raises(BotError):
        await pair.bot.call("get_profile_picture", jid(pair.contact_jid))


def message_of(upload: dict[str, Any]) -> dict[str, Any]:
    """The fields of a message that refer to a file uploaded by neonize."""
    return {
        "URL": upload["url"],
        "directPath": upload["DirectPath"],
        "mediaKey": upload["MediaKey"],
        "fileEncSHA256": upload["FileEncSHA256"],
        "fileSHA256": upload["FileSHA256"],
        "fileLength": upload["FileLength"],
    }
