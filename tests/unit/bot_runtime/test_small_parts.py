"""Addresses, environment, configuration, directory, lock, and the drawn QR code."""

import os
import re
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot_runtime.contract import RuntimeConfig
from bot_runtime.environment import InvalidEnvironmentError, read_environment
from bot_runtime.storage.config import ConfigFile, StaleConfigError
from bot_runtime.storage.session import SessionInUseError, acquire_lock, prepare_directory
from bot_runtime.whatsapp.jid import parse_address
from bot_runtime.whatsapp.terminal import draw_qr

ENVIRONMENT = {"BOTDOCK_BOT_ID": "bot-1", "BOTDOCK_SERVER_NAME": "server1", "BOTDOCK_TOKEN": "s3cret"}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("491701234567", "491701234567@s.whatsapp.net"),
        ("+49 (170) 123-45.67", "491701234567@s.whatsapp.net"),
        ("491701234567@c.us", "491701234567@s.whatsapp.net"),
        ("491701234567:12@s.whatsapp.net", "491701234567@s.whatsapp.net"),
        ("123456789012345@lid", "123456789012345@lid"),
        ("120363012345678901@g.us", "120363012345678901@g.us"),
        ("491701234567-1400000000@g.us", "491701234567-1400000000@g.us"),
    ],
)
def test_phone_numbers_and_chat_ids_become_addresses(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


@pytest.mark.parametrize(
    "text", ["", "12345", "0170123456", "ada", "ada@s.whatsapp.net", "491701234567@example.org", "@lid"]
)
def test_invalid_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_address(text)


def test_only_the_identity_and_the_token_have_no_defaults() -> None:
    environment = read_environment(ENVIRONMENT)
    assert (environment.port, environment.auth_root) == (8080, Path("/auth"))
    assert environment.config == RuntimeConfig()
    assert "s3cret" not in repr(environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOTDOCK_BOT_ID", "Bot"),
        ("BOTDOCK_BOT_ID", "a/../b"),
        ("BOTDOCK_BOT_ID", "a" * 49),
        ("BOTDOCK_SERVER_NAME", "../x"),
        ("BOTDOCK_TOKEN", ""),
        ("BOTDOCK_PORT", "70000"),
        ("BOTDOCK_CONFIG", '{"logLevel": "loud"}'),
        ("BOTDOCK_CONFIG", "{"),
        ("BOTDOCK_CONFIG", '{"heartbeatIntervalSeconds": 0}'),
    ],
)
def test_an_invalid_variable_is_named_without_its_value(name: str, value: str) -> None:
    with pytest.raises(InvalidEnvironmentError, match=name) as invalid:
        read_environment({**ENVIRONMENT, name: value})
    assert len(value) < 3 or value not in str(invalid.value)


def test_a_stored_configuration_takes_precedence_over_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    ConfigFile(path, RuntimeConfig()).replace(RuntimeConfig(generation=3, prefix="!"))
    assert ConfigFile(path, RuntimeConfig(generation=3)).current.prefix == "!"
    assert ConfigFile(path, RuntimeConfig(generation=4)).current.prefix == "."
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


def test_an_older_configuration_is_refused(tmp_path: Path) -> None:
    config = ConfigFile(tmp_path / "config.json", RuntimeConfig(generation=2))
    with pytest.raises(StaleConfigError):
        config.replace(RuntimeConfig(generation=1))
    assert config.replace(RuntimeConfig(generation=2, name="x")).name == "x"


def test_an_unreadable_stored_configuration_does_not_stop_the_bot(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{torn")
    assert ConfigFile(tmp_path / "config.json", RuntimeConfig(name="x")).current.name == "x"


def test_directories_are_private_even_if_they_were_not_before(tmp_path: Path) -> None:
    (tmp_path / "server1").mkdir(0o755)
    directory = prepare_directory(tmp_path, "server1", "bot-1")
    assert directory.path == tmp_path / "server1" / "bot_bot-1"
    for path in (directory.path, directory.path.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_session_has_one_owner_until_its_lock_is_released(tmp_path: Path) -> None:
    directory = prepare_directory(tmp_path, "server1", "bot-1")
    lock = acquire_lock(directory)
    with pytest.raises(SessionInUseError):
        acquire_lock(directory)
    assert acquire_lock(directory, inherited=lock) == lock
    os.close(lock)
    os.close(acquire_lock(directory))


def test_a_drawn_qr_code_is_square_and_states_when_it_expires() -> None:
    *rows, expiry = draw_qr("x" * 150, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)).splitlines()
    assert expiry == "scan before 03:04:05 UTC"
    assert {len(row) for row in rows} == {len(rows[0])}
    assert abs(len(rows) * 2 - len(rows[0])) <= 1
    assert re.fullmatch("[ ▀▄█]+", "".join(rows))
