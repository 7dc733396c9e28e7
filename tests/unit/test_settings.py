"""Settings: the documentation says what the class does, and a bad value stops the start with one clear line."""

import re
from pathlib import Path

import pytest

from orchestrator.errors import SettingsError
from orchestrator.settings import Settings, load
from tests.support.settings_table import DOCUMENT, documented, table

COMPOSE = Path(__file__).resolve().parents[2] / "compose.yaml"
URL = "postgresql://botdock:secret@localhost/botdock"
VARIABLES = [name.upper() for name in Settings.model_fields]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DATABASE_URL", URL)


def test_the_documentation_has_the_table_of_the_class() -> None:
    assert documented() == table(), "run `.venv/bin/python -m tests.support.settings_table`"


def test_the_stack_passes_every_setting_on() -> None:
    handed_on = re.findall(r"^  ([A-Z_]+):", COMPOSE.read_text(), re.MULTILINE)
    assert sorted(handed_on) == sorted([*VARIABLES, "PGPASSWORD"]), "libpq reads PGPASSWORD itself"


def test_every_variable_of_the_stack_is_documented() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE.read_text())) - {"COMPOSE_PROJECT_NAME"}
    assert {variable for variable in used if f"`{variable}`" not in DOCUMENT.read_text()} == set()


def test_only_the_database_url_is_required() -> None:
    assert load().server_name == "server1"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTCOUNT", "")
    assert load().botcount == 20


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "mysql://root:secret@localhost/x"),
        ("DATABASE_URL", "postgresql://botdock:secret@localhost:port/botdock"),
        ("DATABASE_URL", "postgresql://botdock:pass@word:secret@localhost/botdock"),
        ("DATABASE_URL", "postgresql://botdock:pass@secret@localhost/botdock"),
        ("DATABASE_URL", "postgresql://botdock:secret/word@localhost/botdock"),
        ("DATABASE_URL", "postgresql://botdock:secret@[::1/botdock"),
        ("DATABASE_POOL_SIZE", "none"),
        ("SERVER_NAME", "../etc"),
        ("BOTCOUNT", "-1"),
        ("BOT_PREFIX", "toolong"),
        ("LOG_LEVEL", "chatty"),
        ("API_PORT", "0"),
        ("ENGINE", "podman"),
        ("BOT_ALLOWED_HOSTS", "n8n.internal, 10.0.0.1/8"),
        ("BOT_ALLOWED_HOSTS", "https://n8n.internal"),
        ("BOT_ALLOWED_HOSTS", "10.0.0.999"),
        ("BOT_NETWORK_POOL", "10.213.0.1/16"),
        ("BOT_NETWORK_POOL", "fd00::/64"),
        ("MAX_UNAVAILABLE", "0"),
        ("MAX_UNAVAILABLE", "101%"),
        ("PROBE_INTERVAL", "0"),
        ("WHATSAPP_RECONNECT_BASE_DELAY", "soon"),
    ],
)
def test_an_invalid_value_is_reported_in_one_line_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert caught.value.message.startswith(f"cannot start: {variable}: ")
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.message


def test_allowed_hosts_are_names_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_ALLOWED_HOSTS", "n8n, n8n.internal,10.0.0.5 , 10.1.0.0/16, fd00::/64")
    assert load().allowed_hosts == ["n8n", "n8n.internal", "10.0.0.5", "10.1.0.0/16", "fd00::/64"]


def test_all_invalid_values_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("BOTCOUNT", "many")
    with pytest.raises(SettingsError, match=r"DATABASE_URL: .*; BOTCOUNT: "):
        load()
