"""Prepares the layers that the Dockerfiles of the requested images add, several in parallel."""

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from images.builder.bytecode import native_architecture
from images.builder.roots import Root, add_bytecode, build_root, native_root, require_mmdebstrap
from images.builder.sbom import Component, document, dpkg_records
from images.builder.simulated import build_simulated, build_tokens
from images.builder.site import build_app, build_site
from images.builder.tree import Tree
from images.builder.workspace import Workspace, digest

PYTHON_IMAGES = ("bot", "orchestrator", "simulator")
IMAGES_ALL = ("bot", "orchestrator", "postgres", "simulator", "bot-simulated")
# The images whose layers an image also needs.
_NEEDS = {"bot-simulated": ("bot",), "simulator": ("bot",)}


def prepare(
    workspace: Workspace, images: Iterable[str], arches: Sequence[str], version: str, *, own_base: bool = True
) -> None:
    """Create the layers and SBOM files of the images for the architectures (Debian's names).

    With `own_base` false the Python images are built on an image from a registry, and their SBOM lists none of its
    packages.
    """
    requested = {needed for image in images for needed in (image, *_NEEDS.get(image, ()))}
    require_mmdebstrap()
    with ThreadPoolExecutor(4) as pool:
        databases = arches if "postgres" in requested else ()
        postgres = pool.map(lambda arch: build_root(workspace, "postgres", arch), databases)
        if requested.intersection(PYTHON_IMAGES):
            _prepare_python(workspace, pool, requested, arches, version, own_base=own_base)
        for root in postgres:
            _records(workspace, "postgres", root, root.components(), version)


def _prepare_python(
    workspace: Workspace,
    pool: ThreadPoolExecutor,
    requested: Collection[str],
    arches: Sequence[str],
    version: str,
    *,
    own_base: bool,
) -> None:
    images = [image for image in PYTHON_IMAGES if image in requested]
    # The native Python compiles the bytecode of every platform, so its root is always needed.
    built = sorted({*arches, native_architecture()})
    every = list(pool.map(lambda arch: build_root(workspace, "python", arch), built))
    native = native_root(every)
    roots = [root for root in every if root.arch in arches]
    list(pool.map(lambda root: add_bytecode(workspace, root, native), roots))
    for image in images:
        build_app(workspace, image, native)
    pairs = [(image, arch) for image in images for arch in arches]
    sites = dict(zip(pairs, pool.map(lambda pair: build_site(workspace, pair[0], pair[1], native), pairs), strict=True))
    for root in roots:
        _base_overlay(workspace, root)
        packages = root.components() if own_base else []
        for image in images:
            _records(workspace, image, root, [*packages, *sites[image, root.arch].components()], version)
    if "simulator" in requested:
        build_tokens(workspace, sites["bot", arches[0]])
    if "bot-simulated" in requested:
        list(pool.map(lambda arch: build_simulated(workspace, sites["bot", arch]), arches))


def _base_overlay(workspace: Workspace, root: Root) -> None:
    """What an image with Python at /usr/local lacks (`BASE_IMAGE=`): Python at the path that our entry points use."""
    name = f"base-overlay-{root.arch}"

    def make() -> None:
        tree = Tree()
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
