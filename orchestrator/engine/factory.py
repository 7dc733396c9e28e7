"""The engine that the settings name. Only the implementation that is used is imported."""

from orchestrator.engine.base import Engine
from orchestrator.settings import Settings

COMPOSE_PROJECT_LABEL = "com.docker.compose.project"


def make_engine(settings: Settings, owner: str) -> Engine:
    """The engine of `settings.server_name`, for the installation `owner`. Does not connect yet."""
    if settings.engine == "memory":
        from orchestrator.engine.memory.engine import MemoryEngine

        return MemoryEngine(owner=owner, server=settings.server_name)
    from orchestrator.engine.docker.engine import DockerEngine

    return DockerEngine(
        owner=owner,
        server=settings.server_name,
        host=settings.docker_host,
        workers=settings.docker_workers,
        network_pool=settings.bot_network_pool,
        stack={COMPOSE_PROJECT_LABEL: settings.stack} if settings.stack else None,
    )
