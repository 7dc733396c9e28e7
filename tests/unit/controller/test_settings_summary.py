"""The comparison of a standby's settings with the leader's."""

from typing import Any

from orchestrator.controller.settings_summary import OWN_SETTINGS, differing, summarize
from orchestrator.settings import Settings


def summary(**changes: Any) -> dict[str, str]:
    values = {"database_url": "postgresql://nowhere/none", "openai_api_key": "sk-secret", **changes}
    return summarize(Settings(**values), installation="installation-1")


def test_the_same_settings_do_not_differ() -> None:
    assert differing(summary(), summary()) == ()


def test_settings_that_differ_are_named() -> None:
    other = summary(bot_image="botdock/bot:2", openai_api_key="sk-other")
    assert differing(summary(), other) == ("BOT_IMAGE", "OPENAI_API_KEY")


def test_settings_of_one_process_may_differ() -> None:
    assert Settings.model_fields.keys() >= OWN_SETTINGS
    assert differing(summary(), summary(controller_port=1, docker_workers=2)) == ()


def test_settings_that_only_one_version_has_are_not_compared() -> None:
    assert differing(summary(), {"NEW_SETTING": "1"}) == ()
    assert differing(summary(), {}) == ()


def test_a_summary_holds_no_values() -> None:
    values = " ".join(summary().values())
    assert "secret" not in values
    assert "botdock" not in values
