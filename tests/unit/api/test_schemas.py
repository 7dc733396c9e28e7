"""Request bodies of bots: names, phone numbers, settings and limits."""

import math
import re
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot_runtime.contract import BOT_ID_PATTERN, RuntimeConfig
from orchestrator.api.bots.schemas import BotLimits, NewBot, merged
from orchestrator.api.bots.settings_schemas import BotSettings
from orchestrator.api.fields import phone_number


@given(st.text(max_size=100))
def test_an_accepted_name_can_be_shown_and_stored(name: str) -> None:
    try:
        accepted = NewBot.model_validate({"name": name}).name
    except ValidationError:
        return
    assert 1 <= len(accepted) <= 64
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in accepted)
    assert accepted.encode("utf-8").decode() == accepted
    assert NewBot.model_validate({"name": accepted}).name == accepted


@pytest.mark.parametrize("name", ["Support", "Büro 3", "日本語", "👩‍🔧 Help", "O'Neil; DROP TABLE bots", "<b>x</b>"])
def test_ordinary_names_are_accepted(name: str) -> None:
    assert NewBot.model_validate({"name": name}).name == name


@given(st.text(max_size=60))
def test_ids_are_accepted_as_in_the_database(bot_id: str) -> None:
    try:
        accepted = NewBot.model_validate({"name": "x", "id": bot_id}).id
    except ValidationError:
        assert re.fullmatch(BOT_ID_PATTERN, bot_id) is None
    else:
        assert accepted is not None
        assert re.fullmatch(BOT_ID_PATTERN, accepted)
        assert accepted == bot_id


@pytest.mark.parametrize(
    ("given_number", "digits"),
    [("491701234567", "491701234567"), ("+49 170 123-4567", "491701234567"), ("+1 (555) 123.4567", "15551234567")],
)
def test_phone_numbers_are_stored_as_digits(given_number: str, digits: str) -> None:
    assert phone_number(given_number) == digits


@given(st.text(max_size=30))
def test_an_accepted_number_is_international(text: str) -> None:
    try:
        digits = phone_number(text)
    except ValueError:
        return
    assert re.fullmatch("[1-9][0-9]{6,14}", digits)


def test_exactly_the_settings_of_the_runtime_can_be_overridden() -> None:
    ours = {field.alias for field in BotSettings.model_fields.values()}
    theirs = {field.encode_name for field in msgspec.structs.fields(RuntimeConfig)}
    assert ours == theirs - {"generation", "name", "commands", "takenOver", "webAccess", "logLevel", "volumeMaxBytes"}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "prefix": st.text(max_size=7),
            "heartbeatIntervalSeconds": st.floats(),
            "reconnectBaseDelaySeconds": st.floats(),
            "maxReconnectAttempts": st.integers(),
            "connectionResetIntervalSeconds": st.floats(),
        },
    )
)
def test_accepted_settings_are_accepted_by_the_runtime(values: dict[str, Any]) -> None:
    try:
        settings = BotSettings.model_validate(values)
    except ValidationError:
        return
    stored = merged({}, settings)
    assert all(math.isfinite(value) for value in stored.values() if isinstance(value, float))
    config = msgspec.json.decode(msgspec.json.encode(stored), type=RuntimeConfig)
    assert {key: value for key, value in msgspec.to_builtins(config).items() if key in stored} == stored


@pytest.mark.parametrize(
    "limits", [{"cpus": math.nan}, {"cpus": math.inf}, {"pids": True}, {"memoryBytes": 1.5e8 + 0.5}]
)
def test_invalid_limits(limits: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BotLimits.model_validate(limits)


def test_merging_sets_given_fields_and_removes_null() -> None:
    changes = BotSettings.model_validate({"prefix": None, "maxReconnectAttempts": 3})
    present = {"prefix": "!", "heartbeatIntervalSeconds": 5}
    assert merged(present, changes) == {"heartbeatIntervalSeconds": 5, "maxReconnectAttempts": 3}
