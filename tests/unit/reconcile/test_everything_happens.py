"""Random sequences of actions by operators, machines and controllers: the invariants, and the final state.

Two bots on one machine. People change their minds, containers crash, vanish and hang, the engine refuses and goes away,
strangers take names, controllers die between any two of their calls and are succeeded while they still act. Time passes
only here; no hint is relied on.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.db.fence import LeadershipLostError
from orchestrator.engine.base import (
    ContainerState,
    DiskFullError,
    EngineError,
    EngineUnavailableError,
    ImageMissingError,
    InvalidSpecError,
    NameTakenError,
    NetworkMissingError,
)
from orchestrator.engine.memory.host import MemoryContainer
from orchestrator.reconcile.rollout import SETTLE_AFTER_FAILURE_SECONDS
from orchestrator.states import Approval, DesiredState
from tests.unit.reconcile.doubles import OWNER, SERVER, Crashed, Driver, World

T = TypeVar("T")

BOTS = ["one", "two"]
ERRORS = [
    EngineError,
    EngineUnavailableError,
    NameTakenError,
    NetworkMissingError,
    ImageMissingError,
    InvalidSpecError,
    DiskFullError,
]
IMAGES = ["botdock/bot:1", "botdock/bot:2"]
ROUNDS_UNTIL_REPLACED = 5
"""How often every bot is looked at until each was replaced in its turn."""
ROUNDS_UNTIL_CALM = 200
"""More rounds than any bot needs to come to rest: every wait is at most about six minutes."""

bots = st.sampled_from(BOTS)


def name(bot: str) -> str:
    return f"botdock-{SERVER}-{bot}"


class Everything(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.predecessors: list[Driver] = []
        self.strangers: list[MemoryContainer] = []
        self.volumes: dict[str, dict[str, str]] = {}
        """Each bot's volume as last seen: a new one is another object."""
        self.cleared: dict[str, int] = {}
        """The last session generation for which each bot's volume was taken."""
        self.stormy = False
        """Containers do not become healthy."""
        self.image = IMAGES[0]
        self._succeed()

    def teardown(self) -> None:
        self.runner.close()

    def do(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Let the controller work; when it dies of it, another takes over."""
        try:
            return self.runner.run(work)
        except Crashed:
            self._succeed()
        except EngineUnavailableError:
            pass
        return None

    # People

    @rule(bot=bots)
    def insert(self, bot: str) -> None:
        if bot not in self.world.rows.bots:
            self.cleared[bot] = 0
            self.world.rows.insert(bot)

    @rule(bot=bots, how=st.sampled_from(Approval))
    def decide(self, bot: str, how: Approval) -> None:
        self._update(bot, approval_status=how)

    @rule(bot=bots)
    def approve(self, bot: str) -> None:
        self._update(bot, approval_status=Approval.APPROVED)

    @rule(bot=bots, what=st.sampled_from(DesiredState))
    def desire(self, bot: str, what: DesiredState) -> None:
        self._update(bot, desired_state=what)

    @rule(bot=bots, fresh=st.booleans())
    def restart(self, bot: str, fresh: bool) -> None:
        row = self.world.rows.bots.get(bot)
        if row is not None and row.approval_status == Approval.APPROVED:
            self._update(
                bot,
                desired_state=DesiredState.RUNNING,
                restart_generation=row.restart_generation + 1,
                session_generation=row.session_generation + fresh,
            )

    @rule(bot=bots, limits=st.sampled_from([{}, {"pids": 32}, {"cpus": 1.0}, {"pids": -1}]))
    def patch(self, bot: str, limits: dict[str, Any]) -> None:
        self._update(bot, limits=limits)

    @rule(bot=bots)
    def delete(self, bot: str) -> None:
        self._update(bot, deleting=True)

    def _update(self, bot: str, **changes: Any) -> None:
        row = self.world.rows.bots.get(bot)
        if row is not None and not row.deleting:
            self.world.rows.update(bot, **changes)

    # The machine

    @rule(bot=bots, code=st.sampled_from([0, 1, 64, 75, 137]), oom=st.booleans())
    def crash(self, bot: str, code: int, oom: bool) -> None:
        if self._ours_runs(bot):
            self.world.host.crash(name(bot), code, oom=oom)

    @rule(bot=bots, times=st.integers(5, 7))
    def crash_again_and_again(self, bot: str, times: int) -> None:
        for _ in range(times):
            self.do(self.world.controller.work(bot))
            self.probe(bot)
            self.crash(bot, 2, oom=False)

    @rule(bot=bots)
    def remove_by_hand(self, bot: str) -> None:
        container = self.world.host.containers.get(name(bot))
        if container is not None:
            self.world.host.remove(container)
            self.strangers = [item for item in self.strangers if item is not container]

    @rule(bot=bots, size=st.sampled_from([0, 1 << 20, 1 << 40]))
    def fill_the_volume(self, bot: str, size: int) -> None:
        if name(bot) in self.world.host.volumes:
            self.world.host.volume_sizes[name(bot)] = size

    @rule(bot=bots)
    def pause(self, bot: str) -> None:
        if self._ours_runs(bot):
            self.world.host.pause(name(bot))

    @rule(bot=bots)
    def grow_deaf_to_sigterm(self, bot: str) -> None:
        if self._ours_runs(bot):
            self.world.host.containers[name(bot)].ignores_sigterm = True

    @rule(bot=bots)
    def start_by_hand(self, bot: str) -> None:
        container = self.world.host.containers.get(name(bot))
        row = self.world.rows.bots.get(bot)
        if container is not None and row is not None and container.state is ContainerState.EXITED:
            self.world.host.run(container)

    @rule(bot=bots)
    def stranger_takes_the_name(self, bot: str) -> None:
        if name(bot) not in self.world.host.containers:
            self.strangers.append(self.world.host.add_foreign(name(bot), {"botdock.owner": "somebody"}))

    @rule()
    def strangers_go(self) -> None:
        for number, stranger in enumerate(self.strangers):
            containers = self.world.host.containers
            stranger.name = f"away-{len(containers)}-{number}"
            containers[stranger.name] = containers.pop(
                next(key for key, item in containers.items() if item is stranger)
            )

    @rule(away=st.booleans())
    def engine_goes_or_comes(self, away: bool) -> None:
        self.world.host.set_unavailable(away)

    @rule(
        operation=st.sampled_from(["create", "start", "kill", "remove", "remove_volume", "inspect", "logs"]),
        error=st.sampled_from(ERRORS),
        done=st.booleans(),
    )
    def engine_fails(self, operation: str, error: type[EngineError], done: bool) -> None:
        self.world.host.fail_next(operation, error("on purpose"), done=done)

    @rule(stormy=st.booleans())
    def bots_fail_to_get_healthy(self, stormy: bool) -> None:
        self.stormy = stormy

    # Controllers

    @rule(bot=bots)
    def work(self, bot: str) -> None:
        self.do(self.world.controller.work(bot))

    @rule()
    def sweep(self) -> None:
        self.do(self.world.controller.sweep())

    @rule(bot=bots)
    def probe(self, bot: str) -> None:
        if not self.stormy:
            self._probe(self.world.controller, bot)

    @rule(bot=bots)
    def probes_fail(self, bot: str) -> None:
        self.world.controller.hangs(bot)

    @rule(seconds=st.sampled_from([0.5, 10, 60, 400, -3600]))
    def time_passes(self, seconds: float) -> None:
        """Or the clock is set back."""
        self.world.clock.now += seconds

    @rule(bot=bots, step=st.integers(0, 8), after=st.booleans())
    def die_at_work(self, bot: str, step: int, after: bool) -> None:
        crashes = self.world.controller.crashes
        crashes.countdown, crashes.after = step, after
        self.do(self.world.controller.work(bot))
        self.world.controller.crashes.countdown = None

    @rule(image=st.sampled_from(IMAGES))
    def succeed(self, image: str) -> None:
        self.predecessors.append(self.world.controller)
        self.image = image
        self._succeed()

    def _succeed(self) -> None:
        self.world.new_controller(bot_image=self.image)

    @precondition(lambda self: self.predecessors)
    @rule(bot=bots)
    def predecessor_still_acts(self, bot: str) -> None:
        before = {item.id: item.starts for item in self.world.host.containers.values()}
        try:
            self.runner.run(self.predecessors[-1].work(bot))
        except (LeadershipLostError, EngineUnavailableError):
            pass
        after = {item.id: item.starts for item in self.world.host.containers.values()}
        assert all(before.get(key, 0) == number for key, number in after.items()), (
            "one that was succeeded started a bot"
        )

    # What never happens

    @invariant()
    def a_bot_has_one_running_container_at_most(self) -> None:
        for bot in BOTS:
            running = [
                item
                for item in self.world.host.containers.values()
                if item.labels.get("botdock.bot-id") == bot and item.observed(listed=True).up
            ]
            assert len(running) <= 1

    @invariant()
    def strangers_are_left_alone(self) -> None:
        for stranger in self.strangers:
            assert any(item is stranger for item in self.world.host.containers.values())
            assert (stranger.state, stranger.starts) == (ContainerState.RUNNING, 1)

    @invariant()
    def a_volume_goes_only_when_that_was_asked_for_and_once(self) -> None:
        for bot in BOTS:
            present = self.world.host.volumes.get(name(bot))
            known = self.volumes.get(bot)
            if known is not None and present is not known:
                row = self.world.rows.bots.get(bot)
                if row is not None and not row.deleting:
                    assert row.session_generation > self.cleared[bot]
                    self.cleared[bot] = row.session_generation
            if present is None:
                self.volumes.pop(bot, None)
            else:
                self.volumes[bot] = present

    # What comes in the end

    @rule()
    def calm(self) -> None:
        """No more failures: everything reaches its desired state, or reports what a person has to do."""
        self.strangers_go()
        self.world.host.set_unavailable(False)
        self.world.host._failures.clear()
        self.world.host.volume_sizes.clear()
        self.stormy = False
        for _ in range(ROUNDS_UNTIL_REPLACED):
            for bot in BOTS:
                self.runner.run(self._settle(bot))
            if not any(item.spec and item.spec.image != self.image for item in self.world.host.containers.values()):
                break
            self.world.clock.now += SETTLE_AFTER_FAILURE_SECONDS
        for bot in BOTS:
            self._check(bot)
        assert self.world.host.networks

    async def _settle(self, bot: str) -> None:
        controller = self.world.controller
        await controller.sweep()
        for _ in range(ROUNDS_UNTIL_CALM):
            wait = await controller.work(bot)
            if self._probe(controller, bot):
                continue
            if wait is None:
                return
            self.world.clock.now += wait
        raise AssertionError(f"bot {bot} does not come to rest")

    def _check(self, bot: str) -> None:
        row, container = self.world.rows.bots.get(bot), self.world.host.containers.get(name(bot))
        if row is None:
            assert container is None
            assert bot not in self.world.controller.states.by_id
            return
        assert not row.deleting
        phase, reason = self.world.phase(bot)
        if not (row.approval_status == Approval.APPROVED and row.desired_state == DesiredState.RUNNING):
            assert container is None
            assert phase in {"pending", "stopped"}
        elif row.limits.get("pids") == -1:
            assert (phase, reason) == ("skipped", "invalid-config")
        elif phase == "skipped":
            assert container is None or container.state in {ContainerState.EXITED, ContainerState.CREATED}
        else:
            assert phase == "online"
            assert container is not None
            assert container.state is ContainerState.RUNNING
            assert container.labels["botdock.owner"] == OWNER
            assert container.spec is not None
            assert container.spec.image == self.image, "no rollout waits for ever"
            assert (row.restart_generation, row.session_generation) == (
                self.world.controller.state(bot).remembered.restart_generation,
                self.world.controller.state(bot).remembered.session_generation,
            )

    def _probe(self, controller: Driver, bot: str) -> bool:
        """What the probes find out now; whether that is news."""
        if not self._ours_runs(bot):
            return False
        if self.world.host.containers[name(bot)].state is ContainerState.PAUSED:
            return controller.hangs(bot)
        return controller.answers(bot)

    def _ours_runs(self, bot: str) -> bool:
        container = self.world.host.containers.get(name(bot))
        return container is not None and container.spec is not None and container.observed(listed=True).up


TestEverything = pytest.mark.filterwarnings("error")(Everything.TestCase)
TestEverything.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
