"""Building images: pushed as multi-arch manifests, on another base image, reproducibly."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from images.builder.tree import Tree
from tests.support.eventually import eventually
from tests.support.images import docker
from tests.support.processes import free_port

pytestmark = [pytest.mark.docker, pytest.mark.slow]

PROJECT = Path(__file__).resolve().parents[2]
LAYERS = PROJECT / "images/.build/layers"
REGISTRY_CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {storage}}}}}
http: {{addr: "{address}"}}
log: {{level: error, accesslog: {{disabled: true}}}}
"""


def builder(*arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "images.builder", *arguments],
        cwd=PROJECT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=check,
    )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty registry on loopback."""
    folder = tmp_path_factory.mktemp("registry")
    address = f"127.0.0.1:{free_port()}"
    config = folder / "config.yml"
    config.write_text(REGISTRY_CONFIG.format(storage=folder / "storage", address=address))
    program = shutil.which("docker-registry", path=f"{os.environ['PATH']}:{PROJECT}/images/.build/registry/usr/bin")
    assert program, "run images/registry.sh"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        eventually(lambda: _answers(f"http://{address}/v2/"), what="the registry")
        yield address
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def _manifest(registry: str, image: str, reference: str) -> dict[str, Any]:
    accepted = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
    url = f"http://{registry}/v2/team/{image}/manifests/{reference}"
    manifest: dict[str, Any] = httpx.get(url, headers={"Accept": accepted}).raise_for_status().json()
    return manifest


def test_a_push_creates_one_manifest_for_both_platforms(registry: str) -> None:
    builder("push", "--registry", f"{registry}/team", "--tag", "1.0")
    for image in ("bot", "orchestrator", "postgres", "simulator", "bot-simulated"):
        index = _manifest(registry, image, "1.0")
        platforms = {f"{row['platform']['os']}/{row['platform']['architecture']}" for row in index["manifests"]}
        assert platforms == {"linux/amd64", "linux/arm64"}
        assert index["annotations"]["org.opencontainers.image.licenses"] == "Apache-2.0"
        for row in index["manifests"]:
            manifest = _manifest(registry, image, row["digest"])
            assert manifest["annotations"] == index["annotations"]


def test_an_image_from_a_registry_replaces_the_root_built_from_packages(registry: str) -> None:
    """The base is laid out like the official Python image: Python below /usr/local."""
    arch = docker("version", "--format", "{{.Server.Arch}}").decode().strip()
    base = Tree.from_tar(LAYERS / f"python-{arch}.tar")
    base.add(Tree.from_tar(LAYERS / f"python-bytecode-{arch}.tar"))
    base.entries = {
        path.replace("usr/lib/python3.13", "usr/local/lib/python3.13").replace("usr/bin/py", "usr/local/bin/py"): entry
        for path, entry in base.entries.items()
    }
    name, work = f"{registry}/team/python:3.13", PROJECT / "images/.build/work/base.tar"
    base.write(work)
    docker("import", str(work), name)
    try:
        docker("push", name)
        builder("build", "--images", "bot", "--base-image", name, "--tag", "on-base")
        says = docker(
            *("run", "--rm", "--network", "none", "--entrypoint", "/usr/bin/python3.13", "botdock/bot:on-base"),
            *("-c", "import sys; from bot_runtime.whatsapp import library; library.load(); print(sys.prefix)"),
        )
        assert says.decode().split() == ["/usr/local"]
        sbom = json.loads((PROJECT / f"images/.build/sbom/bot-{arch}.cdx.json").read_text())
        assert not [part for part in sbom["components"] if part["purl"].startswith("pkg:deb/")]
    finally:
        work.unlink()
        subprocess.run(["docker", "rmi", "botdock/bot:on-base", name], capture_output=True, check=False)


def test_the_same_inputs_give_the_same_digest() -> None:
    done = builder("check", "--images", "bot bot-simulated simulator orchestrator", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("identical") == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["build", "--images", "bott"], "'bott' is unknown; images: bot "),
        (["build", "--platforms", "linux/riscv64"], "platforms: linux/amd64,linux/arm64"),
        (["push"], "make images-push REGISTRY="),
        (["push", "--images", "postgres", "--registry", "127.0.0.1:9/nobody"], "127.0.0.1:9"),
    ],
)
def test_an_error_is_one_line_with_what_to_do(arguments: list[str], says: str) -> None:
    done = builder(*arguments, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("images: FAILED: ")
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr


def test_a_working_engine_is_left_as_it_is() -> None:
    done = subprocess.run([PROJECT / "images/engine/ensure.sh"], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.endswith("is running, left as it is\n")


def test_no_engine_is_installed_for_a_remote_docker_host() -> None:
    done = subprocess.run(
        [PROJECT / "images/engine/ensure.sh"],
        env={**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "engine: FAILED: no engine answers at DOCKER_HOST=tcp://127.0.0.1:9; start it, or unset DOCKER_HOST to use "
        "this machine's\n"
    )
