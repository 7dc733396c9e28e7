"""Two checkouts on one engine: which of them a stack belongs to."""

from pathlib import Path

import pytest

from tests.demo import checkouts
from tests.demo import stack as stacks
from tests.demo.terminal import DemoError
from tests.unit.demo.conftest import checkout
from tests.unit.demo.fake_engine import Engine


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
    engine.configure(project="botdock-second")
    with pytest.raises(DemoError, match=r"'botdock-server1' .* belongs to the checkout"):
        checkouts.claim(stacks.real())
    engine.stop()
    engine.add("networks", "botdock-server1", {"botdock.server": "server1"})
    with pytest.raises(DemoError, match="another Botdock on this engine has a server 'server1'"):
        checkouts.claim(stacks.real())
    engine.configure(project="botdock-second", server="second")
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
