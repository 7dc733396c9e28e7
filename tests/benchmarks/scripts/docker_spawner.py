"""Runs JupyterHub's `DockerSpawner.start()` with only those parts of a hub that it reads.

Each line of standard input is a list of orders `{name, image, config}` (Docker's create options), which are spawned
concurrently; the answer is one line `{began}`, the Unix time before the first call.
"""

import asyncio
import json
import sys
import time
from importlib import import_module
from types import SimpleNamespace
from typing import Any

# Installed only in the environment that runs this.
DockerSpawner = import_module("dockerspawner").DockerSpawner
_HUB = SimpleNamespace(api_url="http://127.0.0.1:8081/hub/api", base_url="/hub/", public_host="")


def spawner(order: dict[str, Any]) -> Any:
    """A spawner for the ordered container."""
    config = order["config"]
    host = config["HostConfig"]
    user = SimpleNamespace(name=order["name"], escaped_name=order["name"], id=1, url="/", settings={}, admin=False)
    created = DockerSpawner(
        user=user,
        hub=_HUB,
        authenticator=None,
        image=order["image"],
        prefix="",
        name_template=order["name"],
        pull_policy="never",
        use_internal_ip=True,
        network_name=host["NetworkMode"],
        remove=False,
        cpu_limit=host["NanoCpus"] / 1e9,
        cmd=["-m", "bot_runtime"],
        extra_create_kwargs={
            "entrypoint": ["/usr/bin/python3.13"],
            "hostname": config["Hostname"],
            "labels": config["Labels"],
            "stop_signal": config["StopSignal"],
            "healthcheck": {"test": config["Healthcheck"]["Test"]},
        },
        extra_host_config={
            "init": host["Init"],
            "read_only": host["ReadonlyRootfs"],
            "tmpfs": host["Tmpfs"],
            "mounts": host["Mounts"],
            "cap_drop": host["CapDrop"],
            "security_opt": host["SecurityOpt"],
            "mem_limit": host["Memory"],
            "memswap_limit": host["MemorySwap"],
            "pids_limit": host["PidsLimit"],
            "oom_score_adj": host["OomScoreAdj"],
            "ulimits": host["Ulimits"],
            "log_config": host["LogConfig"],
        },
    )
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    created.get_env = lambda: environment
    created.get_args = list
    return created


async def main() -> None:
    """Answer orders until standard input ends."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        spawners = [spawner(order) for order in json.loads(line)]
        began = time.time()
        await asyncio.gather(*(one.start() for one in spawners))
        print(json.dumps({"began": began}), flush=True)


asyncio.run(main())
