"""Validation messages can be understood without knowing pydantic."""

import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.api.bots.schemas import NewBot, RestartBody
from orchestrator.api.messages.schemas import MessageBody
from orchestrator.api.servers import ServerPatch
from orchestrator.validation_messages import validation_message


@pytest.mark.parametrize(
    ("shape", "value", "sentence"),
    [
        (NewBot, {}, "is required"),
        (NewBot, {"name": 1}, "must be a string"),
        (NewBot, {"name": "x", "more": 1}, "unknown field"),
        (NewBot, {"name": "x", "id": "A"}, "must match ^[a-z0-9][a-z0-9-]{0,47}$"),
        (NewBot, {"name": "x", "settings": {"prefix": ""}}, "must have at least 1 character"),
        (NewBot, {"name": "x", "settings": {"owners": ["4917012345"] * 21}}, "must have at most 20 items"),
        (NewBot, {"name": "x", "settings": {"typing": "x"}}, "must be true or false"),
        (NewBot, {"name": "x", "settings": None}, "must be an object"),
        (NewBot, {"name": "x", "limits": {"pids": 1.5}}, "must be an integer"),
        (NewBot, {"name": "x", "limits": {"cpus": 9}}, "must be at most 8"),
        (NewBot, {"name": "x", "phoneNumber": "0"}, "must be a phone number in international format"),
        (RestartBody, {"fresh": "maybe"}, "must be true or false"),
        (ServerPatch, {"maxBots": -1}, "must be at least 0"),
        (MessageBody, {"to": "4917012345", "message": "x" * 65_537}, "must have at most 65536 characters"),
        (MessageBody, {"to": "4917012345", "content": {"type": "spell"}}, "type must be one of 'text', 'image'"),
        (MessageBody, {"to": "4917012345", "content": {}}, "type is required"),
        (MessageBody, {"to": "4917012345"}, "send either message or content"),
    ],
)
def test_message(shape: Any, value: Any, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(shape).validate_python(value)
    [error] = caught.value.errors()
    assert re.match(re.escape(sentence), validation_message(error)), validation_message(error)
