"""The configuration of every bot container: hardened, limited, with no option that a user could set.

Only the fields of `ContainerSpec` vary. The user is that of the image, which is not root.
"""

from typing import Any

from bot_runtime.contract import AUTH_ROOT
from orchestrator.engine.base import ContainerSpec, Label

TMP_OPTIONS = "rw,noexec,nosuid,nodev,size=16m,mode=1777"
MAX_OPEN_FILES = 4096
OOM_SCORE = 200
"""When the host runs out of memory, bots are killed before the database and the engine."""


def container_config(spec: ContainerSpec, *, owner: str, server: str, quota_bytes: int | None = None) -> dict[str, Any]:
    """The body of Docker's `POST /containers/create`. `quota_bytes` limits a volume that is created with it."""
    ours = {Label.OWNER: owner, Label.SERVER: server}
    bot_id = spec.labels[Label.BOT_ID]
    quota = {} if quota_bytes is None else {"Name": "local", "Options": {"size": str(quota_bytes)}}
    return {
        "Image": spec.image,
        "Hostname": bot_id,
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": {**spec.labels, **ours},
        "StopSignal": "SIGTERM",
        # An exec per bot and interval would cost more than the bot, so the image's health check is disabled.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "Init": True,
            "RestartPolicy": {"Name": "no"},
            "NetworkMode": spec.network,
            "PublishAllPorts": False,
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": TMP_OPTIONS},  # noqa: S108  (inside the container)
            "Mounts": [
                {
                    "Type": "volume",
                    "Source": spec.volume,
                    "Target": AUTH_ROOT,
                    "VolumeOptions": {
                        "Labels": {**spec.volume_labels, **ours, Label.BOT_ID: bot_id},
                        "DriverConfig": quota,
                    },
                }
            ],
            "CapDrop": ["ALL"],
            "Privileged": False,
            # Without a named seccomp profile, the engine's default one applies.
            "SecurityOpt": ["no-new-privileges:true"],
            "Memory": spec.memory_bytes,
            "MemorySwap": spec.memory_bytes,
            "NanoCpus": round(spec.cpus * 1e9),
            "PidsLimit": spec.pids,
            "OomScoreAdj": OOM_SCORE,
            "Ulimits": [
                {"Name": "nofile", "Soft": MAX_OPEN_FILES, "Hard": MAX_OPEN_FILES},
                {"Name": "core", "Soft": 0, "Hard": 0},
            ],
            "LogConfig": {"Type": "local", "Config": {"max-size": "1m", "max-file": "2"}},
        },
        # Named here so that Docker attaches the container when it creates it, without another call.
        "NetworkingConfig": {"EndpointsConfig": {spec.network: {}}},
    }
