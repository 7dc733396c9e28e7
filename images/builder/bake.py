"""Runs `docker buildx bake` on the prepared layers: into the engine, into a registry, or into files."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from images.builder.errors import BuildError
from images.builder.tree import EPOCH
from images.builder.workspace import PROJECT, Workspace, digest, run

# Changes to any of these may change an image.
_INPUTS = ("images", "bot_runtime", "orchestrator", "tests/simulator", "requirements", "docker-bake.hcl")


@dataclass(frozen=True, slots=True)
class Options:
    """What to build; `images` and `platforms` as bake names them, `registry` with its path prefix."""

    images: Sequence[str]
    platforms: Sequence[str]
    registry: str
    tag: str
    version: str
    revision: str
    base_image: str = ""
    no_cache: bool = False


def has_containerd_store() -> bool:
    """Whether the engine stores images of several platforms (Docker's containerd image store)."""
    status = run(["docker", "info", "--format", "{{json .DriverStatus}}"], what="asking the Docker engine")
    return "io.containerd.snapshotter" in status


def revision() -> str:
    """The last commit that touched what the images are made of, or `unknown` outside a git checkout."""
    # Also for root in a checkout of another user, which git otherwise refuses to read.
    git = ["git", "-c", "safe.directory=*"]
    try:
        commit = run([*git, "log", "-1", "--format=%H", "--", *_INPUTS], what="reading the revision").strip()
        changed = run([*git, "status", "--porcelain", "--", *_INPUTS], what="reading the revision").strip()
    except BuildError:
        return "unknown"
    return f"{commit}-modified" if changed else commit


def bake(workspace: Workspace, options: Options, output: str = "") -> dict[str, str]:
    """Build the images from the workspace's layers, and send them to `output` (bake's default if it is empty).

    `{image}` in `output` is replaced by the image's name. Returns the digest of each image.
    """
    metadata = workspace.root / "metadata.json"
    command = ["docker", "buildx", "bake", "--file", "docker-bake.hcl", "--metadata-file", str(metadata)]
    command += ["--progress", "plain", *(["--no-cache"] if options.no_cache else [])]
    if output:
        for image in options.images:
            command += ["--set", f"{image}.output={output.format(image=image)}"]
    env = {
        **os.environ,
        "CONTEXT": str(workspace.root.parent),
        "REGISTRY": options.registry,
        "TAG": options.tag,
        "VERSION": options.version,
        "REVISION": options.revision,
        "PLATFORMS": ",".join(options.platforms),
        "BASE_IMAGE": options.base_image,
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    }
    log = workspace.root / "bake.log"
    with log.open("w") as file:
        process = subprocess.Popen(  # noqa: S603
            [*command, *options.images], cwd=PROJECT, env=env, stdout=file, stderr=subprocess.STDOUT
        )
        while (code := _ended(process)) is None:
            workspace.say(f"still building: {log.read_text().strip().splitlines()[-1]}")
    if code:
        raise BuildError(f"docker buildx bake failed: {_reason(log)} (full log: {log})")
    rows = json.loads(metadata.read_text())
    return {image: rows[image]["containerimage.digest"] for image in options.images}


def load(workspace: Workspace, options: Options) -> dict[str, str]:
    """Build the images into the engine, unless it already has exactly these; returns the id of each image.

    `loaded.json` records what this checkout built, `replaced` the ids that lost their name to a newer build: `make
    clean` removes both.
    """
    record = workspace.root / "loaded.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    dockerfiles = sorted(workspace.root.parent.glob("*/Dockerfile"))
    recorded = {identifier for _, built in known.values() for identifier in built.values()}
    key = digest(
        workspace.stamps, *dockerfiles, PROJECT / "docker-bake.hcl", repr(options), os.environ.get("SOURCE", "")
    )
    ids = _ids(options)
    if None in ids.values() or known.get(options.tag) != [key, ids]:
        workspace.say(f"building {', '.join(options.images)} for {', '.join(options.platforms)}")
        bake(workspace, options)
        _remove({old for old in ids.values() if old})
        with (workspace.root / "replaced").open("a") as replaced:
            replaced.writelines(f"{old}\n" for old in ids.values() if old in recorded)
        ids = _ids(options)
        record.write_text(json.dumps({**known, options.tag: [key, ids]}))
    return {image: str(identifier) for image, identifier in ids.items()}


def push_all(workspace: Workspace, options: Options) -> dict[str, str]:
    """Build the images and push them; returns the digest of each."""
    before = _ids(options)
    try:
        return bake(workspace, options, "type=image,push=true,oci-mediatypes=true")
    finally:
        # The engine's own builder stores what it pushes.
        for image, identifier in before.items():
            if identifier is None:
                name = reference(options, image)
                subprocess.run(["docker", "image", "rm", name], capture_output=True, check=False)  # noqa: S603, S607


def _remove(identifiers: set[str]) -> None:
    """Remove replaced images, except those with another name; the engine refuses to remove those with a container."""
    listing = ["docker", "image", "ls", "--filter", "dangling=true", "--no-trunc", "--quiet"]
    for identifier in identifiers.intersection(run(listing, what="listing the engine's images").split()):
        subprocess.run(["docker", "image", "rm", identifier], capture_output=True, check=False)  # noqa: S603, S607


def reference(options: Options, image: str) -> str:
    """The image's name in the engine and in a registry."""
    return f"{options.registry}/{image}:{options.tag}"


def _ids(options: Options) -> dict[str, str | None]:
    """The id of each image that the engine has under its name."""
    names = ["docker", "image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]
    held = dict(line.split() for line in run(names, what="listing the engine's images").splitlines())
    return {image: held.get(reference(options, image)) for image in options.images}


def _ended(process: "subprocess.Popen[bytes]") -> int | None:
    """The exit code, or None if the program is still running after ten more seconds."""
    try:
        return process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        return None


def _reason(log: Path) -> str:
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    for line in reversed(lines):
        if line.lower().startswith("error"):
            return line
    return lines[-1] if lines else "no output"


def project_version() -> str:
    """The version number, read without importing its module: the builder has none of the project's dependencies."""
    source = (PROJECT / "bot_runtime/contract/version.py").read_text()
    match = re.search(r'^VERSION = "(.+)"$', source, re.MULTILINE)
    if match is None:
        raise BuildError("bot_runtime/contract/version.py defines no VERSION")
    return match.group(1)
