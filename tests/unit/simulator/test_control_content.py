"""The control API without clients: all kinds of messages between phones, groups, channels and calls."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from whatsapp_simulator import tokens
from whatsapp_simulator.control import app
from whatsapp_simulator.simulator import Simulator

ANNA, BERT, CLEO = "491701234567", "491711111111", "491722222222"
DATA = base64.b64encode(b"a file").decode()


class Api:
    """Requests that must succeed, by default for Anna."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = await self.http.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def send(self, what: str, phone: str = ANNA, **body: Any) -> str:
        return str((await self.call("POST", f"/contacts/{phone}/{what}", body))["id"])

    async def inbox(self, phone: str = BERT) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.call("GET", f"/contacts/{phone}/inbox"))["items"]
        return items


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """The API of a simulator with three contacts."""
    transport = httpx.ASGITransport(app.create(Simulator(tokens.default())), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as http:
        client = Api(http)
        for phone in (ANNA, BERT, CLEO):
            await client.call("POST", "/contacts", {"phone": phone})
        await client.call("POST", "/accounts", {"phone": BERT})
        yield client


async def test_an_inbox_item_has_the_fields_of_its_kind(api: Api) -> None:
    await api.send("messages", to=BERT, text="text")
    await api.send("locations", to=BERT, latitude=1.5, longitude=-2.5, name="there")
    await api.send("cards", to=BERT, cards=[{"name": "Cleo", "vcard": "BEGIN:VCARD"}])
    poll = await api.send("polls", to=BERT, question="Tea?", options=["yes", "no"])
    await api.send("votes", message=poll, options=["no"])
    await api.send("media", to=BERT, kind="image", data=DATA, caption="look", viewOnce=True)

    text, location, card, question, vote, image = await api.inbox()

    assert [item["kind"] for item in (text, card, question, vote)] == ["text", "contact", "poll", "poll-vote"]
    assert (text["chat"], text["viewOnce"], text["media"]) == (None, False, None)
    assert location["location"] == {"latitude": 1.5, "longitude": -2.5, "name": "there", "address": ""}
    assert card["contacts"] == [{"name": "Cleo", "vcard": "BEGIN:VCARD"}]
    assert question["poll"] == {"question": "Tea?", "options": ["yes", "no"], "selectable": 1}
    assert (vote["target"], vote["selected"]) == (poll, ["no"])
    assert (image["text"], image["viewOnce"], image["media"]["mimetype"]) == ("look", True, "image/jpeg")
    file = await api.http.get(image["media"]["url"])
    assert (file.content, file.headers["content-type"]) == (b"a file", "image/jpeg")


async def test_messages_that_refer_to_other_messages(api: Api) -> None:
    first = await api.send("messages", to=BERT, text="first")
    await api.send("reactions", BERT, message=first, emoji="👍")
    await api.send("messages", BERT, to=ANNA, text="why?", quote=first)
    await api.send("edits", message=first, text="changed")
    await api.send("revocations", message=first)

    reaction, reply = await api.inbox(ANNA)
    _, edit, revocation = await api.inbox()

    assert (reaction["kind"], reaction["text"], reaction["target"]) == ("reaction", "👍", first)
    assert reply["quoted"] == {"id": first, "from": ANNA, "text": "first"}
    assert (edit["kind"], edit["text"], edit["target"]) == ("edit", "changed", first)
    assert (revocation["kind"], revocation["target"]) == ("revoke", first)


async def test_only_an_own_one_to_one_message_can_be_redelivered(api: Api) -> None:
    group = await api.call("POST", "/groups", {"creator": ANNA, "subject": "Choir", "members": [BERT]})
    own, shared = (
        await api.send("messages", to=BERT, text="own"),
        await api.send("messages", to=group["id"], text="all"),
    )

    assert await api.send("redeliveries", message=own) == own
    for phone, message, status in ((BERT, own, 409), (ANNA, shared, 409), (CLEO, own, 404)):
        answer = await api.http.post(f"/contacts/{phone}/redeliveries", json={"message": message})
        assert answer.status_code == status


async def test_the_lifecycle_of_a_group(api: Api) -> None:
    group = await api.call("POST", "/groups", {"creator": ANNA, "subject": "Choir", "members": [BERT]})
    path = f"/groups/{group['id']}"
    sent = await api.send("messages", to=group["id"], text="hello", mentions=[BERT])
    (item,) = await api.inbox()
    assert (item["id"], item["chat"], item["mentions"]) == (sent, group["id"], [BERT])

    await api.call("POST", f"{path}/members", {"phones": [CLEO]})
    await api.call("PUT", f"{path}/members/{CLEO}", {"admin": True})
    await api.call("DELETE", f"{path}/members/{BERT}?by={CLEO}")
    await api.call("DELETE", f"{path}/members/{CLEO}?by={CLEO}")
    changes = {"subject": "Solo", "description": "only me", "announce": True, "locked": True, "ephemeralSeconds": 86400}
    changed = await api.call("PATCH", path, changes)

    assert changed | changes == changed
    assert changed["members"] == [{"phone": ANNA, "role": "superadmin"}]
    assert changed == await api.call("GET", path)
    assert (await api.call("GET", "/groups"))["items"] == [changed]


async def test_statuses_are_delivered_only_to_their_recipients(api: Api) -> None:
    posted = await api.send("statuses", to=[BERT], text="holiday")
    await api.send("revocations", message=posted)

    assert [(item["kind"], item["chat"]) for item in await api.inbox()] == [
        ("text", "status@broadcast"),
        ("revoke", "status@broadcast"),
    ]
    assert await api.inbox(CLEO) == []


async def test_typing_is_reported(api: Api) -> None:
    await api.call("POST", f"/contacts/{ANNA}/typing", {"to": BERT, "state": "recording"})

    (state,) = (await api.call("GET", f"/contacts/{BERT}/chat-states"))["items"]

    assert (state["from"], state["state"], state["chat"]) == (ANNA, "recording", None)


async def test_channels_have_posts_and_followers(api: Api) -> None:
    channel = await api.call("POST", "/channels", {"name": "News", "followers": [BERT]})
    path = f"/channels/{channel['id']}"
    await api.call("POST", f"{path}/posts", {"text": "it rains"})
    await api.call("POST", f"{path}/posts", {"text": "the sun", "media": {"kind": "image", "data": DATA}})
    await api.call("PUT", f"{path}/followers/{CLEO}")
    changed = await api.call("DELETE", f"{path}/followers/{BERT}")

    assert changed["followers"] == [CLEO]
    assert [(post["kind"], post["text"]) for post in changed["posts"]] == [("text", "it rains"), ("image", "the sun")]
    assert (await api.call("GET", "/channels"))["items"] == [changed]


async def test_calls_ring_and_end(api: Api) -> None:
    call = await api.call("POST", f"/contacts/{ANNA}/calls", {"to": BERT, "video": True})
    ended = await api.call("DELETE", f"/contacts/{ANNA}/calls/{call['id']}")

    assert (call["state"], ended["state"]) == ("ringing", "ended")
    assert (await api.call("GET", f"/contacts/{ANNA}/calls"))["items"] == [ended]


async def test_profiles_change_only_in_the_given_fields(api: Api) -> None:
    await api.call("PATCH", f"/people/{ANNA}/profile", {"about": "busy", "profilePicture": DATA})
    await api.call("POST", f"/contacts/{ANNA}/presence", {"state": "unavailable"})

    profile = await api.call("PATCH", f"/people/{ANNA}/profile", {"name": "Anna"})

    assert (profile["name"], profile["about"], profile["profilePicture"]) == ("Anna", "busy", True)
    assert profile["presence"] == "unavailable"
    assert profile["lastSeen"] is not None
    without = await api.call("PATCH", f"/people/{ANNA}/profile", {"profilePicture": ""})
    assert without["profilePicture"] is False


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", f"/contacts/{ANNA}/messages", {"to": "1@g.us", "text": "x"}, 404, "unknown-group"),
        ("POST", f"/contacts/{ANNA}/messages", {"to": BERT, "text": "x", "quote": "?"}, 404, "unknown-message"),
        ("POST", f"/contacts/{ANNA}/reactions", {"message": "?", "emoji": "👍"}, 404, "unknown-message"),
        ("POST", f"/contacts/{ANNA}/media", {"to": BERT, "kind": "text", "data": DATA}, 422, "invalid-request"),
        ("POST", f"/contacts/{ANNA}/media", {"to": BERT, "kind": "image", "data": "?"}, 422, "invalid-request"),
        ("POST", f"/contacts/{ANNA}/polls", {"to": BERT, "question": "?", "options": ["1"]}, 422, "invalid-request"),
        ("POST", f"/contacts/{ANNA}/statuses", {"to": [BERT]}, 422, "invalid-request"),
        ("POST", f"/contacts/{ANNA}/votes", {"message": "TEXT", "options": ["x"]}, 409, "not-in-the-poll"),
        ("POST", f"/contacts/{BERT}/edits", {"message": "TEXT", "text": "x"}, 409, "not-yours"),
        ("POST", f"/contacts/{BERT}/revocations", {"message": "TEXT"}, 409, "not-yours"),
        ("GET", f"/contacts/{BERT}/inbox/TEXT/media", None, 404, "no-media"),
        ("POST", f"/contacts/{ANNA}/typing", {"to": BERT, "state": "sleeping"}, 422, "invalid-request"),
        ("POST", "/groups", {"creator": "491799999999", "subject": "x"}, 404, "unknown-phone"),
        ("POST", "/groups/GROUP/members", {"phones": [BERT]}, 409, "nothing-to-do"),
        ("POST", "/groups/GROUP/members", {"phones": [CLEO], "by": BERT}, 403, "not-an-admin"),
        ("PUT", f"/groups/GROUP/members/{ANNA}", {"admin": False}, 406, "owner"),
        ("PATCH", "/groups/GROUP", {"subject": "x", "by": CLEO}, 403, "not-a-member"),
        ("POST", f"/contacts/{CLEO}/messages", {"to": "GROUP", "text": "x"}, 403, "not-a-member"),
        ("GET", "/channels/1@newsletter", None, 404, "unknown-channel"),
        ("POST", f"/contacts/{ANNA}/calls", {"to": CLEO}, 404, "unknown-account"),
        ("DELETE", f"/contacts/{ANNA}/calls/1", None, 404, "unknown-call"),
    ],
)
async def test_errors_have_a_code_and_a_message(
    api: Api, method: str, path: str, body: dict[str, Any] | None, status: int, code: str
) -> None:
    text = await api.send("messages", to=BERT, text="a text")
    group = await api.call("POST", "/groups", {"creator": ANNA, "subject": "Choir", "members": [BERT]})
    filled = {name: {"TEXT": text, "GROUP": group["id"]}.get(str(value), value) for name, value in (body or {}).items()}

    answer = await api.http.request(
        method, path.replace("TEXT", text).replace("GROUP", group["id"]), json=filled if body else None
    )

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "message"}
