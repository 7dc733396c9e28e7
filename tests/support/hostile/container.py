"""A hostile runtime in a real container: the one that the controller created for a bot, with another program."""

import inspect
from collections.abc import Callable
from typing import Any

from docker import APIClient

from tests.support.hostile import server
from tests.support.hostile.server import Script


def compromise(
    client: APIClient, name: str, script: Script, *, stop: Callable[[], None], start: Callable[[], None]
) -> None:
    """Let the bot of this running container be compromised from now on.

    `stop` returns when the controller has removed the container, and suspends it, so that it does not remove the next
    one. `start` lets it run the bot again: it finds a container with the right labels, and starts that one.
    """
    config = _config(client.inspect_container(name), script)
    stop()
    client.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
    start()


def _config(former: dict[str, Any], script: Script) -> dict[str, Any]:
    config, host = former["Config"], former["HostConfig"]
    return {
        **{key: config[key] for key in ("Image", "Hostname", "Labels", "StopSignal", "Healthcheck")},
        "Env": [*config["Env"], f"SCRIPT={server.encode(script)}"],
        "Entrypoint": [config["Entrypoint"][0], "-c", inspect.getsource(server)],
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {host["NetworkMode"]: {}}},
    }
