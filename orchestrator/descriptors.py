"""Open file descriptors: raises the process's limit as far as it may, and reports if that is too low for its bots."""

import logging
import resource

from orchestrator.settings import Settings

RESERVE = 256
"""For the process itself, its log, and the callers of its port."""
PER_BOT = 5
"""A controller's connections to one bot: probe, events, configuration and sending."""

log = logging.getLogger(__name__)


def needed_descriptors(settings: Settings, *, controller: bool) -> int:
    """How many descriptors an api, or a process with a controller, needs for `BOTCOUNT` bots."""
    needed = RESERVE + settings.database_pool_size
    return needed + settings.docker_workers + PER_BOT * settings.botcount if controller else needed


def raise_limit(needed: int) -> None:
    """Raise the soft limit to the hard limit, and log the result in one line: a warning if it is less than `needed`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    raised = f" (raised from {_text(soft)})" if soft != hard else ""
    if resource.RLIM_INFINITY != hard < needed:
        log.warning(
            "file descriptors: %d at most%s, but about %d are needed: raise the hard limit (`ulimit -Hn`; for a "
            "container `ulimits.nofile`)",
            hard,
            raised,
            needed,
        )
    else:
        log.info("file descriptors: %s at most%s, about %d needed", _text(hard), raised, needed)


def _text(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
