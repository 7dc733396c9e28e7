"""Field types accept exactly what their patterns in the OpenAPI document state."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from orchestrator.api.bots.schemas import BotLimits, NewBot, RestartBody
from orchestrator.api.fields import PHONE_NUMBER_PATTERN, Name, Url, VisibleText, phone_number
from orchestrator.api.messages.schemas import RECIPIENT_PATTERN, PollContent, recipient
from orchestrator.api.servers import NewServer, ServerPatch


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (ServerPatch, {"maxBots": False}),
        (ServerPatch, {"maxBots": "5"}),
        (ServerPatch, {"maxBots": 5.5}),
        (NewServer, {"name": "x", "maxBots": True}),
        (BotLimits, {"cpus": True}),
        (BotLimits, {"cpus": "1"}),
        (RestartBody, {"fresh": "true"}),
        (RestartBody, {"fresh": 1}),
        (NewBot, {"name": "x", "settings": {"typing": 0}}),
        (NewBot, {"name": "x", "settings": {"owners": "491701234567"}}),
        (PollContent, {"type": "poll", "question": "?", "options": ["a", "b"], "selectable": True}),
    ],
)
def test_types_are_strict(body: Any, value: Any) -> None:
    with pytest.raises(ValidationError):
        body.model_validate(value)


def test_a_number_without_a_fraction_is_an_integer() -> None:
    assert ServerPatch.model_validate({"maxBots": 16.0}).max_bots == 16
    assert BotLimits.model_validate({"pids": 16.0}).pids == 16


@given(st.from_regex(PHONE_NUMBER_PATTERN, fullmatch=True) | st.text(" .()/-+0123456789", max_size=32))
def test_phone_numbers_follow_their_pattern(text: str) -> None:
    if re.fullmatch(PHONE_NUMBER_PATTERN, text):
        assert re.fullmatch("[1-9][0-9]{6,14}", phone_number(text))
    else:
        with pytest.raises(ValueError, match="must be a phone number"):
            phone_number(text)


@given(st.from_regex(RECIPIENT_PATTERN, fullmatch=True) | st.text(" +-:@.0123456789acdhilnpstuw", max_size=40))
def test_recipients_follow_their_pattern(text: str) -> None:
    if re.fullmatch(RECIPIENT_PATTERN, text) and not text.endswith("\n"):
        assert re.fullmatch(r"[0-9-]+@(s\.whatsapp\.net|lid|g\.us)", recipient(text))
    else:
        with pytest.raises(ValueError, match="must "):
            recipient(text)


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://example.com", True),
        ("http://10.0.0.1:8080/hook?a=b#c", True),
        ("http://[::1]:8080/", True),
        ("ftp://example.com", False),
        ("https://user:secret@example.com", False),
        ("https://example.com\\@evil.example", False),
        ("https://example.com/a b", False),
        ("https://example.com\n", False),
        ("https://", False),
    ],
)
def test_urls(url: str, accepted: bool) -> None:
    adapter = TypeAdapter(Url)
    if accepted:
        assert adapter.validate_python(url) == url
    else:
        with pytest.raises(ValidationError):
            adapter.validate_python(url)


@pytest.mark.parametrize("hidden", ["\n", "\x00", "\x85", "\u2028", "\u202e", "\u2066", "\ud800"])
def test_hidden_characters_are_rejected(hidden: str) -> None:
    for field in (Name, VisibleText):
        with pytest.raises(ValidationError):
            TypeAdapter(field).validate_python(f"a{hidden}b")


def test_emoji_of_several_characters_are_visible() -> None:
    assert TypeAdapter(VisibleText).validate_python("👩‍🔧") == "👩‍🔧"
