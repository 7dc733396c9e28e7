"""The generated reference is complete."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator import __version__
from orchestrator.api.app import create_app
from orchestrator.settings import Settings

ROOT = Path(__file__).parents[3]
REFERENCE: dict[str, Any] = create_app(Settings(database_url="postgresql://nobody@127.0.0.1:9/none")).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in REFERENCE["paths"].items()
    for method, operation in methods.items()
}


def test_the_list_of_operations() -> None:
    assert sorted(OPERATIONS) == sorted(
        """
        POST /api/bots
        GET /api/bots
        GET /api/bots/containers/health
        GET /api/bots/{id}
        PATCH /api/bots/{id}
        DELETE /api/bots/{id}
        POST /api/bots/{id}/approve
        POST /api/bots/{id}/reject
        POST /api/bots/{id}/start
        POST /api/bots/{id}/stop
        POST /api/bots/{id}/restart
        POST /api/bots/{id}/logout
        GET /api/bots/{id}/qr
        POST /api/bots/{id}/pair-code
        GET /api/bots/{id}/events
        GET /api/bots/{id}/logs
        POST /api/bots/{id}/messages
        GET /api/bots/{id}/messages
        GET /api/bots/{id}/messages/{messageId}
        DELETE /api/bots/{id}/messages/{messageId}
        GET /api/bots/{id}/media/{messageId}
        GET /api/bots/{id}/groups
        GET /api/bots/{id}/groups/{groupId}
        GET /api/commands
        POST /api/commands
        GET /api/commands/{commandId}
        PATCH /api/commands/{commandId}
        DELETE /api/commands/{commandId}
        GET /api/whatsapp/sessions
        POST /api/whatsapp/sessions
        GET /api/whatsapp/sessions/{id}
        DELETE /api/whatsapp/sessions/{id}
        POST /api/whatsapp/sessions/{id}/messages
        GET /api/whatsapp/metrics
        GET /api/servers
        POST /api/servers
        GET /api/servers/{name}
        PATCH /api/servers/{name}
        GET /api/keys
        POST /api/keys
        DELETE /api/keys/{id}
        GET /livez
        GET /readyz
        GET /health
        GET /metrics
        """.strip()
        .replace("        ", "")
        .splitlines()
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_described(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"][0] in {tag["name"] for tag in REFERENCE["tags"]}
    for status, response in operation["responses"].items():
        assert response["description"]
        if int(status) >= 400:
            pool = name.split()[1].startswith("/api/whatsapp/")
            assert list(response["content"]) == ["application/json" if pool else "application/problem+json"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_but_the_probes_documents_its_authentication(name: str) -> None:
    if name in {"GET /livez", "GET /readyz"}:
        assert OPERATIONS[name]["security"] == []
    else:
        assert "401" in OPERATIONS[name]["responses"]
        assert "security" not in OPERATIONS[name]
    assert REFERENCE["security"] == [{"apiKey": []}, {"bearer": []}]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if "{id}" in name and "/keys/" not in name])
def test_every_operation_on_a_bot_can_name_its_server(name: str) -> None:
    operation = OPERATIONS[name]
    assert "serverName" in {parameter["name"] for parameter in operation["parameters"]}
    assert "409" in operation["responses"]


def test_names_are_camel_case() -> None:
    for schema in REFERENCE["components"]["schemas"].values():
        assert not [name for name in schema.get("properties", {}) if "_" in name]


def test_every_reference_resolves() -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return here + [found for value in node.values() for found in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    schemas = REFERENCE["components"]["schemas"]
    assert {reference.rsplit("/", 1)[1] for reference in references(REFERENCE)} <= set(schemas)


def test_the_reference_states_the_version() -> None:
    assert REFERENCE["info"]["version"] == __version__
