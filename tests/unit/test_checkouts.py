"""Two checkouts on one engine: neither touches the other's stacks, data or images.

The engine is a fake that has containers, volumes, networks and images with their labels.
"""

import copy
import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.demo import checkouts, housekeeping
from tests.demo import stack as stacks
from tests.demo.stack import Stack
from tests.demo.terminal import DemoError, Terminal

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


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    for module in (stacks, checkouts):
        monkeypatch.setattr(module, "call", engine.call)
    for variable in ("BOTDOCK_PORT", "SIMULATOR_PORT", "COMPOSE_PROJECT_NAME", "YES"):
        monkeypatch.delenv(variable, raising=False)
    configure(engine)
    return engine


def configure(engine: Engine, *, project: str = "botdock", server: str | None = None, database: bool = True) -> None:
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
    engine.config = json.dumps({"name": project, "services": services})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout that the commands run in."""
    return checkout(tmp_path / "here", monkeypatch)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Another checkout."""
    path = tmp_path / "there"
    path.mkdir()
    return path


def checkout(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the commands run in this checkout."""
    path.mkdir(exist_ok=True)
    for module in (stacks, checkouts, housekeeping):
        monkeypatch.setattr(module, "PROJECT", path)
    monkeypatch.setattr(stacks, "STATE", path / ".botdock")
    monkeypatch.setattr(housekeeping, "BUILD_DIRECTORY", path / "images/.build")
    return path


@pytest.fixture(autouse=True)
def demo_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake's `compose config` does not replace variables: a demo's server is its name."""
    original = stacks._stack

    def named(target: str, project: str, *arguments: Any) -> Stack:
        stack = original(target, project, *arguments)
        fields = {name: getattr(stack, name) for name in stack.__slots__}
        return Stack(**fields | ({"server": project.removeprefix("botdock-")} if target == "demo" else {}))

    monkeypatch.setattr(stacks, "_stack", named)


def test_the_first_checkout_takes_the_plain_names(engine: Engine, here: Path) -> None:
    checkouts.claim(stacks.demo())
    checkouts.claim(stacks.demo())
    assert engine.names("volumes") == {"botdock-demo_checkout"}
    assert checkouts.own_projects() == {"botdock-demo"}


@pytest.mark.parametrize("stopped", [False, True])
def test_another_checkouts_demo_is_an_error_that_names_it(
    engine: Engine, here: Path, there: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    checkout(there, monkeypatch)
    checkouts.claim(stacks.demo())
    engine.start(stacks.demo(), there)
    if stopped:
        engine.stop()
    checkout(here, monkeypatch)
    with pytest.raises(DemoError) as caught:
        checkouts.claim(stacks.demo())
    assert str(caught.value) == (
        f"'botdock-demo' on this engine belongs to the checkout {there}; choose another name: "
        "'make demo DEMO=second BOTDOCK_PORT=8100 SIMULATOR_PORT=8190'"
    )
    checkouts.claim(stacks.demo("second"))


def test_a_stack_without_a_marker_belongs_to_the_checkout_in_composes_label(
    engine: Engine, here: Path, there: Path
) -> None:
    engine.start(stacks.real(), there)
    assert checkouts.other_checkout(stacks.real()) == str(there)
    with pytest.raises(DemoError, match="put COMPOSE_PROJECT_NAME=botdock-second and SERVER_NAME=second into"):
        checkouts.claim(stacks.real())


def test_a_server_name_of_another_stack_is_refused(engine: Engine, here: Path, there: Path) -> None:
    engine.start(stacks.real(), there)
    configure(engine, project="botdock-second")
    with pytest.raises(DemoError, match=r"'botdock-server1' .* belongs to the checkout"):
        checkouts.claim(stacks.real())
    engine.stop()
    engine.add("networks", "botdock-server1", {"botdock.server": "server1"})
    with pytest.raises(DemoError, match="another Botdock on this engine has a server 'server1'"):
        checkouts.claim(stacks.real())
    configure(engine, project="botdock-second", server="second")
    checkouts.claim(stacks.real())


def test_the_claim_of_a_checkout_that_is_gone_can_be_released(
    engine: Engine, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = checkout(here.parent / "gone", monkeypatch)
    checkouts.claim(stacks.demo())
    checkout(here, monkeypatch)
    gone.rmdir()
    with pytest.raises(DemoError, match="or run 'docker volume rm botdock-demo_checkout' if it is gone"):
        checkouts.claim(stacks.demo())


@pytest.mark.parametrize("command", [housekeeping.down, housekeeping.clean])
@pytest.mark.parametrize("marked", [True, False])
def test_down_and_clean_do_not_touch_another_checkout(
    engine: Engine, here: Path, there: Path, monkeypatch: pytest.MonkeyPatch, command: Any, marked: bool
) -> None:
    checkout(there, monkeypatch)
    for stack in (stacks.demo(), stacks.real()):
        if marked:
            checkouts.claim(stack)
        engine.start(stack, there)
    checkout(here, monkeypatch)
    before = engine.read()
    command(Terminal("test"))
    assert engine.read() == before
    assert (there / ".botdock/demo.env").exists()


def test_purge_refuses_in_another_checkout(
    engine: Engine, here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.start(stacks.real(), there)
    monkeypatch.setenv("YES", "1")
    before = engine.read()
    with pytest.raises(DemoError, match=f"belongs to the checkout {there}; run 'make purge' there"):
        housekeeping.purge(Terminal("purge"))
    assert engine.read() == before


def test_clean_removes_the_demos_and_leaves_make_up(engine: Engine, here: Path) -> None:
    for stack in (stacks.demo(), stacks.demo("second"), stacks.real()):
        checkouts.claim(stack)
        engine.start(stack, here)
    housekeeping.clean(Terminal("clean"))
    assert engine.names("volumes") == {
        "botdock_postgres",
        "botdock-server1-shop-auth",
        "botdock_checkout",
        "botdock-server1_checkout",
    }
    assert engine.names("containers") == {"botdock-controller-1", "botdock-server1-shop"}
    assert engine.names("networks") == {"botdock-server1"}
    assert [path.name for path in (here / ".botdock").iterdir()] == ["botdock.env"]


def test_clean_can_only_print(engine: Engine, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkouts.claim(stacks.demo())
    engine.start(stacks.demo(), here)
    before = engine.read()
    housekeeping.clean(Terminal("clean"), dry_run=True)
    assert engine.read() == before
    assert "would remove 2 containers: botdock-demo-controller-1, botdock-demo-shop" in capsys.readouterr().out


def test_down_keeps_all_data(engine: Engine, here: Path) -> None:
    for stack in (stacks.demo(), stacks.real()):
        checkouts.claim(stack)
        engine.start(stack, here)
    volumes = engine.names("volumes")
    housekeeping.down(Terminal("down"))
    assert engine.names("containers") == set()
    assert engine.names("volumes") == volumes
    assert (here / ".botdock/botdock.env").exists()


def test_purge_lists_the_data_and_deletes_nothing_without_consent(
    engine: Engine, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkouts.claim(stacks.real())
    engine.start(stacks.real(), here)
    before = engine.read()
    with pytest.raises(DemoError, match="nothing was changed; confirm with 'make purge YES=1'"):
        housekeeping.purge(Terminal("purge"))
    assert engine.read() == before
    shown = capsys.readouterr().out
    assert "botdock_postgres" in shown
    assert "the database: API keys, bots, messages, events" in shown
    assert "botdock-server1-shop-auth" in shown
    assert ".botdock/botdock.env" in shown


def test_purge_deletes_the_stack_of_make_up_only(engine: Engine, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stack in (stacks.demo(), stacks.real()):
        checkouts.claim(stack)
        engine.start(stack, here)
    monkeypatch.setenv("YES", "1")
    housekeeping.purge(Terminal("purge"))
    assert engine.names("volumes") == {"botdock-demo_postgres", "botdock-demo-shop-auth", "botdock-demo_checkout"}
    assert engine.names("containers") == {"botdock-demo-controller-1", "botdock-demo-shop"}
    assert not (here / ".botdock/botdock.env").exists()


def test_purge_with_nothing_to_delete_does_not_ask(
    engine: Engine, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    housekeeping.purge(Terminal("purge"))
    assert "nothing to delete" in capsys.readouterr().out


def test_purge_mentions_that_an_external_database_stays(engine: Engine, here: Path) -> None:
    configure(engine, database=False)
    assert "the database at DATABASE_URL" in housekeeping.contents(stacks.real(), [])[-1]


def test_clean_removes_only_the_images_that_this_checkout_built(
    engine: Engine, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = here / "images/.build"
    build.mkdir(parents=True)
    built = {"bot": "sha256:1", "orchestrator": "sha256:2", "simulator": "sha256:3"}
    (build / "loaded.json").write_text(json.dumps({"dev": ["key", built]}))
    (build / "replaced").write_text("sha256:7\n")
    for name, identifier in [
        ("botdock/bot:dev", "sha256:1"),
        ("botdock/orchestrator:dev", "sha256:9"),
        ("botdock/simulator:dev", "sha256:3"),
        ("botdock/bot:other", "sha256:8"),
        ("<none>:<none>", "sha256:7"),
        ("<none>:<none>", "sha256:6"),
    ]:
        engine.add("images", name, id=identifier)
    engine.add("containers", "someone", image="botdock/simulator:dev")
    housekeeping.clean(Terminal("clean"))
    left = {item["id"] for item in engine.read()["images"]}
    assert left == {"sha256:9", "sha256:8", "sha256:6", "sha256:3"}
    shown = capsys.readouterr().out
    assert "left botdock/simulator:dev, which a container uses" in shown
    assert "left 2 images that another checkout built: botdock/bot:other, botdock/orchestrator:dev" in shown
    assert not build.exists()


def test_a_demos_name_is_checked(engine: Engine, here: Path) -> None:
    with pytest.raises(DemoError, match="cannot be a demo's name"):
        stacks.demo("Two Words")


def test_the_key_of_another_user_is_an_error_with_what_to_do(
    engine: Engine, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = stacks.demo()
    stack.store_key("bd_key")

    def denied(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(DemoError, match=r"\.botdock/demo\.env belongs to .*; run 'sudo chown -R"):
        stack.stored_key()
