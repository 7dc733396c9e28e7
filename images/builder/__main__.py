"""`python -m images.builder build | push | check`: what `make images`, `images-push` and `images-check` run."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace

from images.builder.bake import (
    Options,
    bake,
    has_containerd_store,
    load,
    project_version,
    push_all,
    reference,
    revision,
)
from images.builder.bytecode import native_architecture
from images.builder.errors import BuildError
from images.builder.prepare import IMAGES_ALL, prepare
from images.builder.sizes import table
from images.builder.workspace import IMAGES, PLATFORMS, PROJECT, Workspace, give_to_owner_of_checkout

SPACE_NEEDED_BYTES = 3_000_000_000


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m images.builder", description=__doc__)
    parser.add_argument("action", choices=["build", "push", "check"])
    parser.add_argument("--images", default="", help="names, separated by spaces (default: all)")
    parser.add_argument("--platforms", default="", help="comma-separated (default: this machine's; push: all)")
    parser.add_argument("--registry", default="", help="HOST[:PORT]/PREFIX to push to")
    parser.add_argument("--tag", default="dev", help="tag of the images (default: dev)")
    parser.add_argument("--base-image", default="", help="an image with Python 3.13 to build on")
    parser.add_argument("--refresh", action="store_true", help="fetch the newest packages now")
    return parser.parse_args(argv)


def _options(arguments: argparse.Namespace) -> Options:
    images = arguments.images.split() or list(IMAGES_ALL)
    default = list(PLATFORMS) if arguments.action == "push" else [f"linux/{native_architecture()}"]
    platforms = arguments.platforms.split(",") if arguments.platforms else default
    for unknown in [*set(images).difference(IMAGES_ALL), *set(platforms).difference(PLATFORMS)]:
        raise BuildError(f"'{unknown}' is unknown; images: {' '.join(IMAGES_ALL)}; platforms: {','.join(PLATFORMS)}")
    return Options(
        images=images,
        platforms=sorted(platforms),
        registry=arguments.registry or "botdock",
        tag=arguments.tag,
        version=project_version(),
        revision=revision(),
        base_image=arguments.base_image,
    )


def _base_max_age_days() -> float:
    value = os.environ.get("BASE_MAX_AGE_DAYS") or "7"
    if not value.isdigit():
        raise BuildError(f"BASE_MAX_AGE_DAYS must be a number of days, not '{value}'")
    return float(value)


def _prepare(workspace: Workspace, options: Options) -> None:
    arches = [PLATFORMS[platform] for platform in options.platforms]
    prepare(workspace, options.images, arches, options.version, own_base=not options.base_image)


def _require_space(workspace: Workspace) -> None:
    free = shutil.disk_usage(workspace.root).free
    if free < SPACE_NEEDED_BYTES:
        raise BuildError(
            f"only {free / 1e9:.1f} GB free at {workspace.root}; free at least {SPACE_NEEDED_BYTES / 1e9:.0f} GB"
        )


def build(workspace: Workspace, options: Options) -> None:
    """Build into the engine and print the size of each image."""
    if len(options.platforms) > 1 and not has_containerd_store():
        raise BuildError(
            "this engine stores one platform per image: use 'make images' without PLATFORMS, 'make images-push', or "
            'an engine with {"features": {"containerd-snapshotter": true}} in its daemon.json'
        )
    _prepare(workspace, options)
    ids = load(workspace, options)
    sizes = table(workspace, {reference(options, image): identifier for image, identifier in ids.items()})
    workspace.say(f"done\n{sizes}")


def push(workspace: Workspace, options: Options) -> None:
    """Build and push the image of every platform, and the manifest that lists them."""
    if options.registry == "botdock":
        raise BuildError("REGISTRY is missing: make images-push REGISTRY=HOST[:PORT]/PREFIX")
    _prepare(workspace, options)
    workspace.say(f"building and pushing to {options.registry}: {', '.join(options.images)}")
    for image, digest in push_all(workspace, options).items():
        workspace.say(f"{reference(options, image)} {digest}")


def check(workspace: Workspace, options: Options) -> None:
    """Build twice from scratch, without any cache, and compare the digests."""
    digests = []
    sources = workspace.scratch("check-sources")
    for folder in ("bot_runtime", "orchestrator", "tests/simulator"):
        # A copy, so that the source can be edited meanwhile.
        shutil.copytree(PROJECT / folder, sources / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for attempt in ("first", "second"):
        context = workspace.scratch(f"check-{attempt}")
        for dockerfile in IMAGES.glob("*/Dockerfile"):
            (context / dockerfile.parent.name).mkdir()
            shutil.copy(dockerfile, context / dockerfile.parent.name)
        fresh = Workspace(root=context / ".build", project=sources, started=workspace.started)
        workspace.say(f"{attempt} build from scratch")
        _prepare(fresh, options)
        output = f"type=oci,oci-mediatypes=true,dest={context}/{{image}}.tar"
        digests.append(bake(fresh, replace(options, no_cache=True), output))
        shutil.rmtree(context)
    for image in options.images:
        first, second = (attempt[image] for attempt in digests)
        workspace.say(f"{image:<14} {first} {'identical' if first == second else f'differs: {second}'}")
    if digests[0] != digests[1]:
        raise BuildError("two builds of the same inputs differ; see the lines above")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one action; after an error the exit code is 1 and standard error has one line."""
    arguments = _arguments(argv)
    actions = {"build": build, "push": push, "check": check}
    try:
        options = _options(arguments)
        workspace = Workspace(base_max_age_days=_base_max_age_days())
        with workspace.alone():
            _require_space(workspace)
            if arguments.refresh:
                shutil.rmtree(workspace.stamps, ignore_errors=True)
            actions[arguments.action](workspace, options)
            give_to_owner_of_checkout(workspace.root)
    except BuildError as exc:
        sys.stderr.write(f"images: FAILED: {exc}\n")
        return 1
    except PermissionError as exc:
        sys.stderr.write(
            f"images: FAILED: no permission for {exc.filename}, which another user built; "
            f"run 'sudo chown -R $USER {IMAGES / '.build'}'\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
