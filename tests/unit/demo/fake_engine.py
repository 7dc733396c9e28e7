"""An engine with containers, volumes, networks and images as far as the demo's commands need them."""

import copy
import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.demo.stack import Stack

COMPOSE = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
KINDS = ("containers", "volumes", "networks", "images")


class Engine:
    """An engine with the docker commands that the demo uses."""

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.config = ""
        """What `docker compose config` prints."""

    def call(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        """`docker …`, as the demo calls it."""
        output = self._run(command[1:])
        return subprocess.CompletedProcess(command, 0 if output is not None else 1, output or "", "conflict: in use")

    def _run(self, arguments: list[str]) -> str | None:
        """The command's output; None if it fails."""
        match arguments:
            case ["compose", *rest] if "config" in rest:
                return self.config
            case ["compose", "--project-name", project, *rest]:
                return self._compose(project, rest)
            case ["ps", *options]:
                return self._list("containers", options)
            case ["volume" | "network" as kind, "ls", *options]:
                return self._list(f"{kind}s", options)
            case ["images", *options]:
                return self._list("images", options)
            case ["volume", "inspect", "--format", form, name]:
                found = [item for item in self.objects["volumes"] if item["name"] == name]
                return _render(found[0], form) if found else None
            case ["volume", "create", *options, name]:
                if name not in self.names("volumes"):
                    self.add("volumes", name, dict(value.split("=", 1) for value in options if value != "--label"))
            case ["volume" | "network" as kind, "rm", *names]:
                self._remove(f"{kind}s", names)
            case ["rm", "--force", *names]:
                self._remove("containers", names)
            case ["rmi", name]:
                if any(item.get("image") == name for item in self.objects["containers"]):
                    return None
                self._remove("images", [name])
        return ""

    def _compose(self, project: str, arguments: list[str]) -> str:
        own = [item for item in self.objects["containers"] if item["labels"].get(COMPOSE) == project]
        if "down" in arguments:
            self._remove("containers", [item["name"] for item in own])
        return "\n".join(item["labels"][SERVICE] for item in own) if "ps" in arguments else ""

    def _list(self, kind: str, options: list[str]) -> str:
        filters = [value for option, value in itertools.pairwise(options) if option == "--filter"]
        form = options[options.index("--format") + 1] if "--format" in options else "{{.ID}}"
        found = [item for item in self.objects[kind] if all(_matches(item, each) for each in filters)]
        return "\n".join(_render(item, form) for item in found)

    def _remove(self, kind: str, names: list[str]) -> None:
        self.objects[kind] = [i for i in self.objects[kind] if i["name"] not in names and i["id"] not in names]

    def add(self, kind: str, name: str, labels: dict[str, str] | None = None, **more: Any) -> None:
        self.objects[kind].append({"name": name, "id": name, "labels": labels or {}, **more})

    def names(self, kind: str) -> set[str]:
        return {item["name"] for item in self.objects[kind]}

    def read(self) -> dict[str, list[dict[str, Any]]]:
        return copy.deepcopy(self.objects)

    def start(self, stack: Stack, checkout: Path) -> None:
        """What a running stack with one bot has in the engine."""
        project, server, network = stack.project, stack.server, f"botdock-{stack.server}"
        compose = {COMPOSE: project, f"{COMPOSE}.working_dir": str(checkout), SERVICE: "controller"}
        self.add("containers", f"{project}-controller-1", compose, networks=[network])
        self.add("volumes", f"{project}_postgres", {COMPOSE: project})
        ours = {"botdock.server": server, "botdock.owner": str(checkout)}
        self.add("networks", network, ours)
        self.add("containers", f"botdock-{server}-shop", {**ours, "botdock.bot-id": "shop"}, networks=[network])
        self.add("volumes", f"botdock-{server}-shop-auth", ours)
        stack.store_key("bd_key")

    def stop(self) -> None:
        self.objects |= {"containers": [], "networks": []}

    def configure(self, *, project: str = "botdock", server: str | None = None, database: bool = True) -> None:
        """Let `docker compose config` print a stack like ours."""
        services: dict[str, Any] = {
            "api": {"image": "botdock/orchestrator:dev", "ports": [{"published": "8000"}]},
            "controller": {
                "image": "botdock/orchestrator:dev",
                "environment": {"SERVER_NAME": server, "BOT_IMAGE": "botdock/bot:dev"},
            },
            "simulator": {"image": "botdock/simulator:dev", "ports": [{"published": "8090"}]},
        }
        if database:
            services["postgres"] = {"image": "botdock/postgres:dev"}
        self.config = json.dumps({"name": project, "services": services})


def _matches(item: dict[str, Any], condition: str) -> bool:
    kind, _, value = condition.partition("=")
    key, _, expected = value.partition("=")
    match kind:
        case "label":
            return key in item["labels"] and expected in {"", item["labels"][key]}
        case "network":
            return value in item.get("networks", [])
        case "name":
            return value in item["name"]
        case "dangling":
            return bool(item["name"] == "<none>:<none>")
    raise AssertionError(condition)


def _render(item: dict[str, Any], form: str) -> str:
    text = re.sub(r'{{(?:\.Label|index \.Labels) "([^"]*)"}}', lambda found: item["labels"].get(found[1], ""), form)
    for field in ("{{.Names}}", "{{.Name}}", "{{.Repository}}:{{.Tag}}"):
        text = text.replace(field, item["name"])
    return text.replace("{{.ID}}", item["id"])
