"""Records the end of a container, and asks the restart policy what follows."""

import logging
from dataclasses import replace

from bot_runtime.contract import EventType
from orchestrator.engine.base import Engine, EngineError, EngineUnavailableError, ObservedContainer
from orchestrator.reconcile.bot_state import BotState, from_unix
from orchestrator.reconcile.exits import classify
from orchestrator.reconcile.restart_policy import RestartDecision, RestartPolicy, Verdict, decide, record_failure

log = logging.getLogger(__name__)

LOG_LINES = 20
"""How many of a container's last log lines are stored with its exit."""


async def record_exit(state: BotState, engine: Engine, policy: RestartPolicy, *, now: float, random: float) -> None:
    """Record that the bot's container ended, or is gone, although it should run.

    Raises EngineUnavailableError, and ContainerNotFoundError when the container is removed meanwhile.
    """
    container = state.container
    if container is not None and container.exit_code is None:
        container = state.container = await engine.inspect(container.id)
    ended = classify(container, state.kill_reason)
    finished = container.finished_at if container is not None and container.finished_at else from_unix(now)
    logs = [] if container is None else await _last_lines(engine, container.id)
    healthy_since, history = state.remembered.healthy_since, state.remembered.history
    if container is None and state.just_loaded:
        # Removed while there was no leader (`make down`): an operator did that, and it says nothing about the bot.
        restart = RestartDecision(Verdict.RESTART, now, "starting again")
    elif ended.retry_seconds is not None:
        restart = RestartDecision(
            Verdict.RESTART, now + ended.retry_seconds, f"trying again in {ended.retry_seconds:g} s"
        )
    else:
        history = record_failure(
            policy,
            history,
            now=now,
            was_healthy=healthy_since is not None,
            healthy_seconds=0.0 if healthy_since is None else finished.timestamp() - healthy_since,
        )
        restart = decide(policy, history, now=now, random=random)
    skipped = restart.verdict is Verdict.SKIP
    state.remembered = replace(
        state.remembered,
        run_open=False,
        replace=state.kill_reason is not None,
        healthy_since=None,
        history=history,
        next_start_at=restart.at,
        crash_loop=restart.verdict is Verdict.CRASH_LOOP,
        halted=ended.reason if ended.terminal or skipped else None,
        halted_message=f"{ended.message}; {restart.message}" if skipped else ended.message,
        last_failure=ended.reason,
        last_failure_message=f"{ended.message}; {restart.message}",
    )
    facts = _facts(container, ended.reason, ended.message, finished.isoformat())
    state.last_exit = {**facts, "logs": logs}
    if container is not None and container.oom_killed:
        state.add_event(EventType.CONTAINER_OOM, {"containerId": container.id}, now=now)
    state.add_event(EventType.CONTAINER_EXIT, facts, now=now)
    state.kill_reason = None
    log.warning("bot %s: %s", state.bot_id, state.remembered.last_failure_message)


def _facts(container: ObservedContainer | None, reason: str, message: str, finished_at: str) -> dict[str, object]:
    return {
        "containerId": None if container is None else container.id,
        "exitCode": None if container is None else container.exit_code,
        "oomKilled": container is not None and container.oom_killed,
        "reason": reason,
        "message": message,
        "finishedAt": finished_at,
    }


async def _last_lines(engine: Engine, container: str) -> list[str]:
    try:
        return await engine.logs(container, tail=LOG_LINES)
    except EngineUnavailableError:
        raise
    except EngineError as exc:
        # An unreadable log (disk full, rotated away) must not prevent the bot's restart.
        return [f"(the log could not be read: {exc})"]
