"""Prepares every layer that the Dockerfiles of the wanted images add, several at a time."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from images.builder.bytecode import native_architecture
from images.builder.roots import Root, add_bytecode, build_root, native_root, require_mmdebstrap
from images.builder.sbom import Component, document, dpkg_records
from images.builder.simulated import build_simulated, build_tokens
from images.builder.site import Site, build_app, build_site
from images.builder.tree import Tree
from images.builder.workspace import Workspace, digest

PYTHON_IMAGES = ("bot", "orchestrator", "simulator")
IMAGES_ALL = ("bot", "orchestrator", "postgres", "simulator", "bot-simulated")
# What each image is put together from besides itself.
_NEEDS = {"bot-simulated": ("bot",), "simulator": ("bot",)}


def prepare(
    workspace: Workspace, images: Iterable[str], arches: Sequence[str], version: str, *, own_base: bool = True
) -> None:
    """Make the layers and SBOM files of the images for the architectures (Debian's names).

    With `own_base` false the Python images stand on an image from a registry, whose packages are not ours to list.
    """
    wanted = {needed for image in images for needed in (image, *_NEEDS.get(image, ()))}
    pythons = [image for image in PYTHON_IMAGES if image in wanted]
    require_mmdebstrap()
    with ThreadPoolExecutor(4) as pool:
        # The native Python compiles the bytecode of every platform, so its root is always needed.
        native = sorted({*arches, native_architecture()}) if pythons else []
        postgres = pool.map(
            lambda arch: build_root(workspace, "postgres", arch), arches if "postgres" in wanted else ()
        )
        roots = list(pool.map(lambda arch: build_root(workspace, "python", arch), native))
        for root in postgres:
            _records(workspace, "postgres", root, root.components(), version)
        if not pythons:
            return
        compiler = native_root(roots)
        _prepare_python(workspace, pool, [root for root in roots if root.arch in arches], compiler, pythons, version)
        sites = {(site.image, site.arch): site for site in _sites(workspace, pool, pythons, arches, compiler)}
        for root in (root for root in roots if root.arch in arches):
            packages = [part for part in root.components() if own_base or part.name.startswith("libmagic")]
            for image in pythons:
                _records(workspace, image, root, [*packages, *sites[image, root.arch].components()], version)
        if "simulator" in wanted:
            build_tokens(workspace, sites["bot", arches[0]])
        if "bot-simulated" in wanted:
            list(pool.map(lambda arch: build_simulated(workspace, sites["bot", arch]), arches))


def _prepare_python(
    workspace: Workspace, pool: ThreadPoolExecutor, roots: list[Root], native: Root, images: list[str], version: str
) -> None:
    list(pool.map(lambda root: add_bytecode(workspace, root, native), roots))
    list(pool.map(lambda root: _base_overlay(workspace, root), roots))
    for image in images:
        build_app(workspace, image, native)


def _sites(
    workspace: Workspace, pool: ThreadPoolExecutor, images: list[str], arches: Sequence[str], native: Root
) -> list[Site]:
    pairs = [(image, arch) for image in images for arch in arches]
    return list(pool.map(lambda pair: build_site(workspace, pair[0], pair[1], native), pairs))


def _base_overlay(workspace: Workspace, root: Root) -> None:
    """What an image with Python at /usr/local lacks (`BASE_IMAGE=`): libmagic, and Python where ours has it."""
    name = f"base-overlay-{root.arch}"

    def make() -> None:
        tree = Tree.from_tar(root.layer)
        tree.keep(["usr/lib/*-linux-gnu/libmagic*", "usr/lib/file/magic.mgc", "usr/share/misc/magic.mgc"])
        tree.add_link("usr/bin/python3.13", "../local/bin/python3.13")
        tree.add_directory("app", mode=0o755)
        tree.write(workspace.layers / f"{name}.tar")

    workspace.cached(name, digest(root.key, Path(__file__)), make)


def _records(workspace: Workspace, image: str, root: Root, components: list[Component], version: str) -> None:
    """The layer `<image>-records-<arch>`: the SBOM and dpkg's records."""
    sbom = document(image, root.arch, version, components)
    name = f"{image}-records-{root.arch}"

    def make() -> None:
        workspace.sbom.mkdir(parents=True, exist_ok=True)
        (workspace.sbom / f"{image}-{root.arch}.cdx.json").write_bytes(sbom)
        tree = Tree()
        tree.add_file("usr/share/sbom/botdock.cdx.json", sbom)
        for path, content in dpkg_records(components).items():
            tree.add_file(path, content)
        tree.write(workspace.layers / f"{name}.tar")

    workspace.cached(name, digest(sbom), make)
