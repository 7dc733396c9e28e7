"""The arm64 bot image runs: on an arm64 machine, or emulated, which takes minutes (`make test-arm64`)."""

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.support.eventually import eventually
from tests.support.images import container_name, docker

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif("BOTDOCK_TEST_ARM64" not in os.environ, reason="run by `make test-arm64`"),
]

IMAGE = "botdock/bot:arm64"
START_TIMEOUT_SECONDS = 300


@pytest.fixture
def bot() -> Iterator[str]:
    """A running arm64 bot container without access to WhatsApp."""
    name = container_name()
    docker(
        *("run", "--detach", "--name", name, "--platform", "linux/arm64", "--read-only"),
        *("--tmpfs", "/tmp:noexec", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--init"),  # noqa: S108
        *(
            "--env",
            "BOTDOCK_BOT_ID=arm",
            "--env",
            "BOTDOCK_SERVER_NAME=server1",
            "--env",
            "BOTDOCK_TOKEN=for-this-test",
        ),
        *("--env", "HTTPS_PROXY=http://127.0.0.1:9", "--volume", "/auth", IMAGE),
    )
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def test_neonize_loads_its_arm64_library() -> None:
    code = (
        "import platform; from bot_runtime.whatsapp import library; "
        "print(platform.machine(), library.load().GetVersion().decode())"
    )
    said = docker(
        *("run", "--rm", "--platform", "linux/arm64", "--network", "none", "--read-only"),
        *("--entrypoint", "/usr/bin/python3.13", IMAGE, "-c", code),
    )
    machine, version = said.decode().split()
    assert machine == "aarch64"
    assert version[0].isdigit()


def test_the_runtime_starts_and_answers(bot: str) -> None:
    address = docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", bot)
    url = f"http://{address.decode().strip()}:8080/livez"

    def alive() -> bool:
        running = docker("inspect", "--format", "{{.State.Running}}", bot).decode().strip()
        assert running == "true", docker("logs", bot).decode()
        try:
            return httpx.get(url).is_success
        except httpx.TransportError:
            return False

    assert eventually(alive, deadline=START_TIMEOUT_SECONDS, what="/livez")
