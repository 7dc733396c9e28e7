"""The installation's settings change: bots are replaced one after the other, and not at all with settings that fail."""

import io
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.support.fleet import BOT_IMAGE, Fleet

pytestmark = [pytest.mark.docker, pytest.mark.slow]

BOTS = {"roll-a": "491700001401", "roll-b": "491700001402", "roll-c": "491700001403"}
BROKEN = f'FROM {BOT_IMAGE}\nENTRYPOINT ["/usr/bin/python3.13", "-c", "raise SystemExit(\'broken on purpose\')"]\n'


@pytest.fixture
def images(bare_fleet: Fleet) -> Iterator[list[str]]:
    """The names of two images that exit immediately and of one that works."""
    docker, name = bare_fleet.docker, f"botdock-test-{bare_fleet.server}"
    tags = ["broken", "still-broken", "works"]
    broken, _ = docker.images.build(fileobj=io.BytesIO(BROKEN.encode()), tag=f"{name}:broken", rm=True)
    broken.tag(name, "still-broken")
    docker.images.get(BOT_IMAGE).tag(name, "works")
    yield [f"{name}:{tag}" for tag in tags]
    for tag in tags:
        docker.images.remove(f"{name}:{tag}", force=True)


def absences(fleet: Fleet, bot: str) -> list[tuple[str, str]]:
    """From when until when the bot was not online, according to its events."""
    changes = [
        event for event in fleet.events(bot, "phase-change") if "online" in (event["data"]["from"], event["data"]["to"])
    ]
    left = [event["timestamp"] for event in changes if event["data"]["to"] != "online"]
    back = [event["timestamp"] for event in changes if event["data"]["from"] != "online"][1:]
    return list(zip(left, back, strict=True))


def is_skipped_elsewhere(container: str | None, status: dict[str, Any]) -> bool:
    """Whether the bot has failed to start in another container than this one."""
    return bool(status["phase"] == "skipped" and status["containerId"] != container)


def is_online_elsewhere(container: str | None, status: dict[str, Any]) -> bool:
    """Whether the bot is online in another container than this one."""
    return bool(status["phase"] == "online" and status["containerId"] != container)


def test_bad_images_take_one_bot_down_and_a_good_one_replaces_one_at_a_time(
    bare_fleet: Fleet, images: list[str]
) -> None:
    fleet, (broken, still_broken, works) = bare_fleet, images
    controller = fleet.start_controller()
    for bot, phone in BOTS.items():
        fleet.online(bot, phone)
    before = {bot: fleet.container(bot).id for bot in BOTS}

    controller.stop()
    controller = fleet.start_controller(BOT_IMAGE=broken)
    stopped = [fleet.wait_status(bot, lambda seen: seen["reason"] in {"rollout-stopped", "crashed"}) for bot in BOTS]
    assert sorted(status["reason"] for status in stopped) == ["crashed", "rollout-stopped", "rollout-stopped"]
    controller.stop()
    fleet.start_controller(BOT_IMAGE=broken)
    victim = next(bot for bot, status in zip(BOTS, stopped, strict=True) if status["reason"] == "crashed")
    failed = fleet.wait_phase(victim, "skipped")
    others = [bot for bot in BOTS if bot != victim]
    for bot in others:
        status = fleet.status(bot)
        assert (status["phase"], status["reason"]) == ("online", "rollout-stopped")
        assert f"bot {victim}: the bot crashed" in status["message"]
        assert fleet.container(bot).id == before[bot], "not even a new leader replaces it"
        assert absences(fleet, bot) == []

    fleet.controllers[-1].stop()
    fleet.start_controller(BOT_IMAGE=still_broken)
    fleet.wait_status(victim, partial(is_skipped_elsewhere, failed["containerId"]))
    for bot in others:
        fleet.wait_status(bot, lambda seen: seen["reason"] == "rollout-stopped")
        assert fleet.container(bot).id == before[bot], "the next attempt takes no other bot down"
        assert absences(fleet, bot) == []

    fleet.controllers[-1].stop()
    fleet.start_controller(BOT_IMAGE=works)
    for bot, container in before.items():
        fleet.wait_status(bot, partial(is_online_elsewhere, container))
        assert fleet.container(bot).attrs["Config"]["Image"] == works
    first, second = sorted(absences(fleet, bot)[-1] for bot in others)
    assert first[1] < second[0], "one was back before the next was replaced"
