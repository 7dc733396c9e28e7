"""From a row to a container: what a change means, and what never gets through."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot_runtime.contract import WebAccess
from orchestrator.db.models import Bot
from orchestrator.engine.base import ContainerSpec, Label
from orchestrator.reconcile.container_spec import InvalidBotError, container_spec, desired, runtime_config
from tests.unit.reconcile.doubles import settings

CONFIG = "BOTDOCK_CONFIG"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def bot(**values: Any) -> Bot:
    row = {"id": "bot-1", "server_name": "server1", "name": "Bot", "resource_name": "botdock-server1-bot-1"}
    row |= {"runtime_token": "token", "uid": "u"}
    return Bot(**{**row, "session_since": NOON, **values})


def spec(row: Bot, **changes: Any) -> ContainerSpec:
    return container_spec(row, settings(**changes), owner="owner-1", epoch=7)


def digest(row: Bot, **changes: Any) -> str:
    return spec(row, **changes).labels[Label.SPEC_HASH]


@pytest.mark.parametrize(
    "values",
    [
        {"limits": {"pids": 32}},
        {"limits": {"cpus": 1.5}},
        {"limits": {"memoryBytes": 128 << 20}},
        {"runtime_token": "another"},
        {"id": "bot-2"},
        {"server_name": "server2"},
    ],
)
def test_changes_that_replace_the_container(values: dict[str, Any]) -> None:
    assert digest(bot(**values)) != digest(bot())


@pytest.mark.parametrize("changes", [{"bot_image": "other"}, {"bot_https_proxy": "http://p:1"}])
def test_installation_settings_that_replace_the_container(changes: dict[str, Any]) -> None:
    assert digest(bot(), **changes) != digest(bot())


def test_the_log_level_is_part_of_the_configuration_and_replaces_no_container() -> None:
    assert digest(bot(), log_level="DEBUG") == digest(bot())
    assert runtime_config(bot(), settings(log_level="DEBUG")).log_level == "debug"


@pytest.mark.parametrize(
    "values",
    [
        {"settings": {"prefix": "!"}},
        {"name": "Another name"},
        {"generation": 9},
        {"phone_number": "4917"},
        {"restart_generation": 3},
        {"limits": {"pids": 64}},
    ],
)
def test_changes_that_do_not_replace_the_container(values: dict[str, Any]) -> None:
    assert digest(bot(**values)) == digest(bot())


def test_the_hash_does_not_depend_on_the_controller() -> None:
    first = container_spec(bot(), settings(), owner="owner-1", epoch=1)
    second = container_spec(bot(), settings(), owner="owner-1", epoch=2)
    assert first.labels[Label.SPEC_HASH] == second.labels[Label.SPEC_HASH]
    assert (first.labels[Label.EPOCH], second.labels[Label.EPOCH]) == ("1", "2")


@pytest.mark.parametrize(
    "limits",
    [
        {"pids": 15},
        {"pids": 1025},
        {"pids": True},
        {"pids": "64"},
        {"pids": 64.5},
        {"cpus": 0},
        {"cpus": -1},
        {"cpus": 9},
        {"cpus": float("nan")},
        {"cpus": float("inf")},
        {"memoryBytes": 1},
        {"memoryBytes": 1 << 63},
        {"memoryBytes": 1 << 70},
        {"memoryBytes": None},
        {"privileged": True},
        {"memory_bytes": 128 << 20},
        [],
        None,
        "unlimited",
    ],
    ids=str,
)
def test_invalid_limits_are_rejected(limits: Any) -> None:
    with pytest.raises(InvalidBotError, match="limits"):
        spec(bot(limits=limits))


@pytest.mark.parametrize(
    "own",
    [{"prefix": ""}, {"prefix": "123456"}, {"prefix": 1}, {"maxReconnectAttempts": 0}, [], "prefix", None],
    ids=str,
)
def test_invalid_settings_are_rejected(own: Any) -> None:
    with pytest.raises(InvalidBotError, match="settings"):
        spec(bot(settings=own))


def test_a_bots_settings_override_the_installations_but_never_name_and_generation() -> None:
    row = bot(generation=2, config_generation=4, settings={"prefix": "!", "name": "forged", "generation": 99})
    config = runtime_config(row, settings(bot_prefix="/", whatsapp_max_reconnect_attempts=3))
    assert (config.prefix, config.name, config.generation, config.max_reconnect_attempts) == ("!", "Bot", 4, 3)


def test_a_bots_language_model_is_merged_into_the_installations() -> None:
    row = bot(settings={"chatgpt": {"enabled": True}})
    config = runtime_config(row, settings(openai_base_url="http://model:1/v1", whatsapp_rate_limit_window=5000))
    assert (config.chatgpt.enabled, config.chatgpt.base_url) == (True, "http://model:1/v1")
    assert config.rate_limit_window_seconds == 5
    own = bot(settings={"chatgpt": {"baseUrl": "http://own/v1"}})
    assert runtime_config(own, settings()).chatgpt.base_url == "http://own/v1"


def test_only_the_installation_decides_what_its_bots_may_call() -> None:
    row = bot(settings={"webAccess": {"allowedHosts": ["10.0.0.0/8"], "modelUrl": "http://own/v1"}})
    config = runtime_config(
        row, settings(bot_allowed_hosts=" n8n.internal,10.1.0.0/16 ,", openai_base_url="http://model/v1")
    )
    assert config.web_access == WebAccess(allowed_hosts=["n8n.internal", "10.1.0.0/16"], model_url="http://model/v1")
    assert runtime_config(row, settings()).web_access == WebAccess()


def test_the_first_configuration_is_older_than_any_that_is_pushed() -> None:
    assert json.loads(spec(bot(config_generation=4)).env[CONFIG])["generation"] == 0


@given(
    name=st.text(min_size=1),
    phone=st.text(),
    kind=st.text(),
    own=st.dictionaries(st.text(min_size=1).filter(lambda key: key[0].isupper()), st.text() | st.integers()),
)
def test_no_free_text_of_a_user_reaches_the_containers_options(
    name: str, phone: str, kind: str, own: dict[str, Any]
) -> None:
    plain, written = spec(bot()), spec(bot(name=name, phone_number=phone, kind=kind, settings=own))
    config = written.env.pop(CONFIG)
    del plain.env[CONFIG]
    assert written == plain
    assert json.loads(config)["name"] == name


def test_the_token_is_the_only_secret_and_is_in_no_label() -> None:
    made = spec(bot(runtime_token="s3cret"))
    assert [key for key, value in made.env.items() if "s3cret" in value] == ["BOTDOCK_TOKEN"]
    assert "s3cret" not in json.dumps(made.labels)


def test_a_bot_without_a_specification_can_still_be_stopped() -> None:
    target = desired(bot(limits=[], deleting=True), None, owner="owner-1")
    assert target.deleting
    assert target.container_name == "botdock-server1-bot-1"
