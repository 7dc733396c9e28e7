"""Prepares every layer that the Dockerfiles of the wanted images add, several at a time."""

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
# What each image is put together from besides itself.
_NEEDS = {"bot-simulated": ("bot",), "simulator": ("bot",)}


def prepare(
    workspace: Workspace, images: Iterable[str], arches: Sequence[str], version: str, *, own_base: bool = True
) -> None:
    """Make the layers and SBOM files of the images for the architectures (Debian's names).

    With `own_base` false the Python images stand on an image from a registry, whose packages are not ours to list.
    """
    wanted = {needed for image in images for needed in (image, *_NEEDS.get(image, ()))}
    require_mmdebstrap()
    with ThreadPoolExecutor(4) as pool:
        databases = arches if "postgres" in wanted else ()
        postgres = pool.map(lambda arch: build_root(workspace, "postgres", arch), databases)
        if wanted.intersection(PYTHON_IMAGES):
            _prepare_python(workspace, pool, wanted, arches, version, own_base=own_base)
        for root in postgres:
            _records(workspace, "postgres", root, root.components(), version)


def _prepare_python(
    workspace: Workspace,
    pool: ThreadPoolExecutor,
    wanted: Collection[str],
    arches: Sequence[str],
    version: str,
    *,
    own_base: bool,
) -> None:
    images = [image for image in PYTHON_IMAGES if image in wanted]
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
        packages = [part for part in root.components() if own_base or part.name.startswith("libmagic")]
        for image in images:
            _records(workspace, image, root, [*packages, *sites[image, root.arch].components()], version)
    if "simulator" in wanted:
        build_tokens(workspace, sites["bot", arches[0]])
    if "bot-simulated" in wanted:
        list(pool.map(lambda arch: build_simulated(workspace, sites["bot", arch]), arches))


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
