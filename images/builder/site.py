"""The layers of the Python images on top of their root: dependencies, Botdock's own source, bytecode."""

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images.builder.bytecode import compile_tree
from images.builder.roots import Root, directories
from images.builder.sbom import Component, python_component
from images.builder.tree import Tree
from images.builder.workspace import IMAGES, PROJECT, Workspace, digest, run

APP = "app"
SITE = "app/site-packages"
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_WHEEL_PLATFORMS = {"amd64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
# Of a distribution's own records only its metadata, entry points and licences are useful in an image.
_NEVER = (
    "bin/*",
    "*.pyi",
    "*/py.typed",
    "*/__pycache__/*",
    "*.dist-info/INSTALLER",
    "*.dist-info/RECORD",
    "*.dist-info/REQUESTED",
    "*.dist-info/WHEEL",
    "*.dist-info/direct_url.json",
    "*.dist-info/top_level.txt",
    ".lock",
)
_CODE = ("site.py", "tree.py", "bytecode.py", "sbom.py")


@dataclass(frozen=True, slots=True)
class Site:
    """The installed dependencies of one image and architecture."""

    image: str
    arch: str
    key: str
    installed: Path

    def components(self) -> list[Component]:
        return [python_component(path) for path in sorted(self.installed.glob("*.dist-info/METADATA"))]


def recipe_of(image: str) -> dict[str, Any]:
    """The `image.toml` of an image."""
    return tomllib.loads((IMAGES / image / "image.toml").read_text())


def _code_digest() -> str:
    return digest(*(Path(__file__).parent / name for name in _CODE))


def build_site(workspace: Workspace, image: str, arch: str, native: Root) -> Site:
    """The layer `<image>-site-<arch>`: dependencies with bytecode, CA bundle, directories."""
    recipe = recipe_of(image)
    requirements = PROJECT / recipe["requirements"]
    key = digest(arch, native.key, requirements, IMAGES / image / "image.toml", _code_digest())
    name = f"{image}-site-{arch}"
    installed = workspace.root / "work" / name / "installed"

    def make() -> None:
        work = workspace.scratch(name)
        workspace.say(f"{image} for {arch}: installing {recipe['requirements']}")
        install(requirements, installed, arch)
        tree = Tree.from_directory(installed)
        tree.drop([*_NEVER, *recipe["drop"]])
        kept, compiled = work / "kept", work / "compiled"
        tree.unpack(kept)
        compile_tree(native.unpacked, kept, SITE, compiled)
        layer = Tree.from_directory(kept, SITE)
        layer.add(Tree.from_directory(compiled, SITE))
        if recipe["ca_bundle"]:
            layer.add_file(CA_BUNDLE, installed / "certifi/cacert.pem")
            layer.add_link(f"{SITE}/certifi/cacert.pem", f"/{CA_BUNDLE}")
        for directory in directories(recipe):
            layer.add_directory(directory.path, mode=int(directory.mode, 8), owner=directory.owner)
        layer.write(workspace.layers / f"{name}.tar")

    workspace.cached(name, key, make)
    return Site(image, arch, key, installed)


def install(requirements: Path, target: Path, arch: str) -> None:
    """Wheels for the image's Python and an architecture, each checked against its hash."""
    uv = PROJECT / ".venv/bin/uv"
    run(
        [
            *(uv if uv.exists() else "uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
            *("--only-binary", ":all:", "--link-mode", "copy", "--python-version", "3.13"),
            *("--python-platform", _WHEEL_PLATFORMS[arch], "--target", target, "--requirement", requirements),
        ],
        what=f"installing {requirements.name} for {arch}",
    )


def build_app(workspace: Workspace, image: str, native: Root) -> str:
    """The layer `<image>-app`: Botdock's own source and its bytecode, the same for every architecture.

    Returns the digest of its inputs.
    """
    sources = [workspace.project / source for source in recipe_of(image)["sources"]]
    key = digest(native.key, _code_digest(), *(f"{path}\0{digest(path)}" for path in sources))
    name = f"{image}-app"

    def make() -> None:
        work = workspace.scratch(name)
        collected = work / "source"
        collected.mkdir()
        for source in sources:
            _copy_source(source, collected)
        compile_tree(native.unpacked, collected, APP, work / "compiled")
        layer = Tree.from_directory(collected, APP)
        layer.add(Tree.from_directory(work / "compiled", APP))
        layer.write(workspace.layers / f"{name}.tar")

    if workspace.cached(name, key, make):
        workspace.say(f"{image}: packed {', '.join(recipe_of(image)['sources'])}")
    return key


def _copy_source(source: Path, target: Path) -> None:
    """A package, or a part of one, below `target` at its import path."""
    folder = source.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    copy = target / source.relative_to(folder)
    copy.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    else:
        shutil.copy(source, copy)
