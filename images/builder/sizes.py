"""The sizes of the images, measured in the engine."""

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from images.builder.errors import BuildError
from images.builder.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of one platform's image: its layers as pulled, and the files in them."""

    compressed: int
    unpacked: int


def measure(reference: str) -> dict[str, Size]:
    """The size of every platform of an image in the engine."""
    blobs = _blobs(reference)
    index = json.loads(blobs["index.json"])
    manifests = list(_manifests(blobs, index))
    return {
        platform: Size(
            sum(layer["size"] for layer in manifest["layers"]),
            sum(_unpacked(blobs[_path(layer["digest"])]) for layer in manifest["layers"]),
        )
        for platform, manifest in manifests
    }


def _blobs(reference: str) -> dict[str, bytes]:
    """`docker save`'s files by name."""
    saved = subprocess.run(["docker", "save", reference], capture_output=True, check=False)  # noqa: S603, S607
    if saved.returncode:
        raise BuildError(f"docker save {reference} failed: {saved.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(saved.stdout)) as tar:
        return {member.name: cast("BinaryIO", tar.extractfile(member)).read() for member in tar if member.isreg()}


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _manifests(blobs: Mapping[str, bytes], index: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for entry in index["manifests"]:
        body = json.loads(blobs[_path(entry["digest"])])
        if "manifests" in body:
            found += _manifests(blobs, body)
        else:
            config = json.loads(blobs[_path(body["config"]["digest"])])
            found.append((f"{config['os']}/{config['architecture']}", body))
    return found


def _unpacked(layer: bytes) -> int:
    plain = gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return sum(member.size for member in tar)


def table(workspace: Workspace, images: Mapping[str, str]) -> str:
    """Sizes of images as text; `images` maps references to ids.

    Each id is measured once; the figures are cached in the build directory.
    """
    cache = workspace.root / "sizes.json"
    known: dict[str, dict[str, list[int]]] = json.loads(cache.read_text()) if cache.exists() else {}
    rows = [f"{'image':<32} {'platform':<12} {'compressed':>11} {'unpacked':>11}"]
    for reference, identifier in images.items():
        if identifier not in known:
            known[identifier] = {name: [size.compressed, size.unpacked] for name, size in measure(reference).items()}
        for platform, (compressed, unpacked) in sorted(known[identifier].items()):
            rows.append(f"{reference:<32} {platform:<12} {compressed / 1e6:>8.1f} MB {unpacked / 1e6:>8.1f} MB")
    cache.write_text(json.dumps(known))
    return "\n".join(rows)
