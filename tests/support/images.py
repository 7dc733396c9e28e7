"""What an image holds, read without running it, so that it works for every architecture alike."""

import hashlib
import io
import json
import subprocess
import tarfile
import uuid
from dataclasses import dataclass
from typing import Any

PREFIX = "botdock-test-images"


def docker(*arguments: str, stdin: bytes | None = None) -> bytes:
    """The standard output of a docker command; its error output is in the exception's notes."""
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr.decode()}")
    return done.stdout


def container_name() -> str:
    return f"{PREFIX}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True, slots=True)
class File:
    """One path of an image; `digest` is empty for what is not a regular file."""

    mode: int
    owner: int
    size: int
    digest: str
    target: str
    executable: bool


class Content:
    """All paths of one platform's image, without those that Docker adds to every container."""

    def __init__(self, image: str, platform: str) -> None:
        name = container_name()
        docker("create", "--name", name, "--platform", platform, image)
        try:
            self._archive = docker("export", name)
        finally:
            docker("rm", "--volumes", name)
        self.size = len(self._archive)
        added = {".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/mtab", "dev/console"}
        with tarfile.open(fileobj=io.BytesIO(self._archive)) as tar:
            self.files = {member.name: _file(tar, member) for member in tar if member.name not in added}

    def read(self, path: str) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(self._archive)) as tar:
            return _bytes(tar, tar.getmember(path))


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    extracted = tar.extractfile(member)
    assert extracted is not None, f"{member.name} is not a regular file"
    return extracted.read()


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo) -> File:
    digest = hashlib.sha256(_bytes(tar, member)).hexdigest() if member.isreg() else ""
    executable = member.isreg() and bool(member.mode & 0o111)
    return File(member.mode, member.uid, member.size, digest, member.linkname, executable)


def saved(image: str) -> dict[str, tuple[dict[str, Any], dict[str, Any], int]]:
    """By platform: manifest, configuration and uncompressed bytes of the layers, as `docker save` writes them."""
    with tarfile.open(fileobj=io.BytesIO(docker("save", image))) as tar:
        blobs = {member.name.rsplit("/", 1)[-1]: member for member in tar if member.isreg()}

        def blob(digest: str) -> bytes:
            return _bytes(tar, blobs[digest.removeprefix("sha256:")])

        def manifests(index: dict[str, Any]) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            for entry in index["manifests"]:
                body = json.loads(blob(entry["digest"]))
                found += manifests(body) if "manifests" in body else [body]
            return found

        result = {}
        for manifest in manifests(json.loads(_bytes(tar, tar.getmember("index.json")))):
            config = json.loads(blob(manifest["config"]["digest"]))
            unpacked = 0
            for layer in manifest["layers"]:
                with tarfile.open(fileobj=io.BytesIO(blob(layer["digest"]))) as files:
                    unpacked += sum(member.size for member in files)
            result[f"{config['os']}/{config['architecture']}"] = (manifest, config, unpacked)
        return result
