"""`make down`, `clean` and `purge` do not touch another checkout's stacks, data or images."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.demo import checkouts, housekeeping
from tests.demo import stack as stacks
from tests.demo.terminal import DemoError, Terminal
from tests.unit.demo.conftest import checkout
from tests.unit.demo.fake_engine import Engine


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


@pytest.mark.parametrize(("items", "counted"), [([], "0 images"), (["a"], "1 image"), (["a", "b"], "2 images")])
def test_counts_are_grammatical(items: list[str], counted: str) -> None:
    assert housekeeping._count(items, "images") == counted


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


def test_purge_lists_the_sessions_of_a_server_whose_name_has_a_hyphen(
    engine: Engine, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.configure(server="a-b")
    checkouts.claim(stacks.real())
    engine.start(stacks.real(), here)
    engine.add("volumes", "botdock-a-b.shop", {"botdock.server": "a-b", "botdock.owner": str(here)})
    with pytest.raises(DemoError):
        housekeeping.purge(Terminal("purge"))
    sessions = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "a WhatsApp session" in line]
    assert sessions == ["botdock-a-b-shop-auth", "botdock-a-b.shop"]


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
    engine.configure(database=False)
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
