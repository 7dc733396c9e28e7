"""Channels with real neonize clients as followers and owners."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.simulator.harness import Bots
from whatsapp_simulator.testing import BotError, SimulatorClient
from whatsapp_simulator.testing.bot import blob, jid
from whatsapp_simulator.testing.client.messages import file

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_follower_receives_posts_and_reacts(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number = phone()
    bot = await bots.start_linked(number)
    channel = await client.create_channel("News", description="all of it", followers=[number])

    post = await client.post_to_channel(channel.id, "it rains")

    got = await bot.wait_for("message", text="it rains")
    assert (got["chat"], got["serverId"], got["id"]) == (channel.id, post.server_id, post.id)
    await bot.call("newsletter_send_reaction", jid(channel.id), post.server_id, "☔", "")
    reacted = await client.wait_for_channel_reaction(channel.id, post.server_id, "☔")
    assert [reaction.sender for reaction in reacted.reactions] == [number]
    await bot.call("newsletter_mark_viewed", jid(channel.id), [post.server_id])
    assert (await client.channel(channel.id)).posts[0].viewers == [number]


async def test_channels_are_listed_followed_and_unfollowed(
    bots: Bots, client: SimulatorClient, phone: Callable[[], str]
) -> None:
    number = phone()
    bot = await bots.start_linked(number)
    channel = await client.create_channel("Weather")
    await client.post_to_channel(channel.id, "before", media=file(b"sun", "image"))
    found = await bot.call("get_newsletter_info_with_invite", channel.invite)
    assert found["ThreadMeta"]["Name"]["Text"] == "Weather"
    assert not await bot.call("get_subscribed_newletters")

    await bot.call("follow_newsletter", jid(channel.id))
    assert (await client.channel(channel.id)).followers == [number]
    listed = await bot.call("get_subscribed_newletters")
    assert [item["ThreadMeta"]["Name"]["Text"] for item in listed] == ["Weather"]
    (old,) = await bot.call("get_newsletter_messages", jid(channel.id), 10, 0)
    assert old["Message"]["imageMessage"]["caption"] == "before"
    assert await bot.call("newsletter_subscribe_live_updates", jid(channel.id)) > 0

    await bot.call("newsletter_toggle_mute", jid(channel.id), True)
    assert (await client.channel(channel.id)).muted == [number]
    await bot.call("unfollow_newsletter", jid(channel.id))
    assert (await client.channel(channel.id)).followers == []
    with pytest.raises(BotError):
        await bot.call("get_newsletter_info", jid("1@newsletter"))


async def test_a_bot_runs_a_channel(bots: Bots, client: SimulatorClient, phone: Callable[[], str]) -> None:
    number, other = phone(), phone()
    owner, follower = await bots.start_linked(number), await bots.start_linked(other)
    created = await owner.call("create_newsletter", "Mine", "by a bot", blob(b"an image"))
    channel_id = f"{created['ID']['User']}@newsletter"
    await client.follow(channel_id, other)

    await owner.call("send_message", jid(channel_id), "first post")

    await follower.wait_for("message", text="first post", chat=channel_id)
    assert [post.text for post in (await client.channel(channel_id)).posts] == ["first post"]
