"""The parts of hooks that need no network."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from bot_runtime.contract import RuntimeConfig
from bot_runtime.hooks.chatgpt import Conversations
from bot_runtime.hooks.statuses import Viewed
from bot_runtime.storage.config import ConfigFile


def said(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_a_conversation_stores_its_last_messages() -> None:
    conversations = Conversations()
    for number in range(5):
        conversations.add("chat", said(f"q{number}"), said(f"a{number}"), limit=4)
    assert [item["content"] for item in conversations.of("chat", 4)] == ["q3", "a3", "q4", "a4"]
    assert [item["content"] for item in conversations.of("chat", 1)] == ["a4"]
    assert conversations.of("other", 4) == []


def test_a_limit_of_zero_deletes_the_conversation() -> None:
    conversations = Conversations()
    conversations.add("chat", said("q"), limit=4)
    conversations.add("chat", said("q"), limit=0)
    assert conversations.of("chat", 4) == []
    assert conversations.of("chat", 0) == []


def test_only_the_most_recently_active_chats_are_stored() -> None:
    conversations = Conversations(chats=2)
    for chat in ("a", "b", "a", "c"):
        conversations.add(chat, said(chat), limit=4)
    assert [bool(conversations.of(chat, 4)) for chat in ("a", "b", "c")] == [True, False, True]


def test_viewed_statuses_survive_a_restart_and_the_oldest_are_deleted(store: sqlite3.Connection) -> None:
    viewed = Viewed(store, capacity=10)
    for number in range(300):
        viewed.add(str(number))
        viewed.add(str(number))
    again = Viewed(store, capacity=10)
    assert "299" in again
    assert "0" not in again


def test_a_changed_setting_is_stored_at_the_same_generation_and_an_invalid_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config = ConfigFile(path, RuntimeConfig())
    config.replace(RuntimeConfig(generation=3, name="Shop"))
    config.change(prefix="!", typing=True)
    with pytest.raises(msgspec.ValidationError):
        config.change(prefix="much too long")
    kept = ConfigFile(path, RuntimeConfig(generation=3)).current
    assert kept == RuntimeConfig(generation=3, name="Shop", prefix="!", typing=True)
