"""The properties of the images, read from the engine.

`make test-images` builds them for both platforms with a tag of its own and passes it in BOTDOCK_TEST_TAG; otherwise
these are the images of `make images`, and platforms that were not built are skipped.
"""

import itertools
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bot_runtime.contract.version import VERSION
from tests.support.images import Content, docker, saved

pytestmark = pytest.mark.docker

PROJECT = Path(__file__).resolve().parents[2]
PYTHON_IMAGES = ["bot", "orchestrator", "simulator"]
ALL_IMAGES = [*PYTHON_IMAGES, "postgres", "bot-simulated"]
PLATFORMS = ["linux/amd64", "linux/arm64"]
MB = 1_000_000
TAG = os.environ.get("BOTDOCK_TEST_TAG", "dev")

image_saved = cache(saved)
_content = cache(Content)


def reference(image: str) -> str:
    return f"botdock/{image}:{TAG}"


def content(image: str, platform: str) -> Content:
    if platform not in image_saved(reference(image)):
        pytest.skip(f"{reference(image)} was built without {platform}; see `make test-images`")
    return _content(reference(image), platform)


def built(image: str, platform: str) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Manifest, configuration and unpacked bytes."""
    content(image, platform)
    return image_saved(reference(image))[platform]


def run_python(image: str, code: str) -> str:
    """The output of Python code in a container without network, capabilities or a writable file system."""
    return docker(
        *("run", "--rm", "--interactive", "--read-only", "--cap-drop", "ALL", "--network", "none"),
        *("--entrypoint", "/usr/bin/python3.13", reference(image), "-"),
        stdin=code.encode(),
    ).decode()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_bot_image_is_slim(platform: str) -> None:
    manifest, _, unpacked = built("bot", platform)
    assert sum(layer["size"] for layer in manifest["layers"]) <= 30 * MB
    assert unpacked <= 70 * MB
    assert content("bot", platform).size <= 75 * MB


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_bot_image_contains_python_a_shell_and_no_other_program(platform: str) -> None:
    files = content("bot", platform).files
    library = re.compile(r"\.so(\.|$)")
    programs = {path for path, file in files.items() if file.executable and not library.search(path)}
    assert programs == {"usr/bin/dash", "usr/bin/python3.13"}
    assert files["usr/bin/sh"].target == "dash"
    assert not [path for path in files if re.search(r"site-packages/(pip|setuptools|ensurepip)/", path)]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("image", ["bot", "bot-simulated"])
def test_a_bots_library_finds_its_settings_when_it_starts(image: str, platform: str) -> None:
    _, config, _ = built(image, platform)
    assert {"GOGC=30", "GOMEMLIMIT=32MiB", "NEONIZE_BOT_TAG=off"} <= set(config["config"]["Env"])


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("image", PYTHON_IMAGES)
def test_nothing_in_an_image_belongs_to_or_can_be_written_by_its_user(image: str, platform: str) -> None:
    _, config, _ = built(image, platform)
    assert config["config"]["User"] == "10001:10001"
    files = content(image, platform).files
    own = {path.rstrip("/") for path, file in files.items() if file.owner == 10001}
    assert own == {"bot": {"auth"}, "orchestrator": set(), "simulator": {"data"}}[image]
    assert all(files[path].mode & 0o777 == 0o700 for path in own)
    for_everyone = {path for path, file in files.items() if file.mode & 0o002 and not file.target}
    assert for_everyone <= {"tmp", "var/tmp"}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("image", ALL_IMAGES)
def test_an_image_has_the_oci_labels(image: str, platform: str) -> None:
    manifest, config, _ = built(image, platform)
    labels = {key: value for key, value in config["config"]["Labels"].items() if key.startswith("org.opencontainers")}
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.created"] == "2026-11-01T00:00:00Z" == config["created"]
    assert {f"org.opencontainers.image.{key}" for key in ("title", "description", "revision")} <= set(labels)
    assert manifest["annotations"] == labels


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("image", PYTHON_IMAGES)
def test_the_sbom_names_every_package_with_its_version(image: str, platform: str) -> None:
    held = content(image, platform)
    sbom = json.loads(held.read("usr/share/sbom/botdock.cdx.json"))
    purls = {part["purl"] for part in sbom["components"]}
    listed = {purl.removeprefix("pkg:pypi/") for purl in purls if purl.startswith("pkg:pypi/")}
    pins = re.findall(r"^([a-z0-9._-]+)==([^ \\]+)", (PROJECT / f"requirements/{image}.txt").read_text(), re.MULTILINE)
    assert listed <= {f"{name}@{version}" for name, version in pins}
    assert len(listed) == len([path for path in held.files if path.endswith(".dist-info/METADATA")])
    debian = {part["name"] for part in sbom["components"] if part["purl"].startswith("pkg:deb/debian/")}
    assert {"libc6", "python3.13-minimal", "dash"} <= debian
    assert debian == {Path(path).name for path in held.files if path.startswith("var/lib/dpkg/status.d/")}
    assert not {"mawk", "debconf", "libdb5.3t64"} & debian, "packages of which the image has no file"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_simulated_bot_differs_by_a_key_and_a_certificate_only(platform: str) -> None:
    bot, simulated = content("bot", platform), content("bot-simulated", platform)
    arch = platform.removeprefix("linux/")
    library, bundle = f"app/site-packages/neonize/neonize-linux-{arch}.so", "etc/ssl/certs/ca-certificates.crt"
    changed = {path for path in {*bot.files, *simulated.files} if bot.files.get(path) != simulated.files.get(path)}
    assert changed == {library, bundle}

    before, after = bot.read(library), simulated.read(library)
    assert len(before) == len(after)
    differing = [index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    assert max(differing) - min(differing) < 32
    assert simulated.read(bundle).startswith(bot.read(bundle))
    assert simulated.read(bundle)[len(bot.read(bundle)) :].count(b"BEGIN CERTIFICATE") == 1


@pytest.mark.parametrize("image", PYTHON_IMAGES)
def test_every_library_of_an_image_finds_what_it_links_to(image: str) -> None:
    missing = run_python(
        image,
        "import glob, pathlib, subprocess\n"
        "loader = glob.glob('/usr/lib/*/ld-linux-*')[0]\n"
        "for root in ('/app', '/usr/lib'):\n"
        "    for file in pathlib.Path(root).rglob('*.so*'):\n"
        "        listed = subprocess.run([loader, '--list', file], capture_output=True, text=True)\n"
        "        missing = [line for line in listed.stdout.splitlines() if 'not found' in line]\n"
        "        if missing: print(file, missing)\n",
    )
    assert missing == ""


def test_every_module_of_the_runtime_imports_with_all_of_neonize_that_it_uses() -> None:
    said = run_python(
        "bot",
        "import importlib, pkgutil, sys\n"
        "import bot_runtime\n"
        "names = [m.name for m in pkgutil.walk_packages(bot_runtime.__path__, 'bot_runtime.')]\n"
        "for name in names:\n"
        "    if not name.endswith('__main__'): importlib.import_module(name)\n"
        "import ssl, certifi\n"
        "from google.protobuf.internal import api_implementation\n"
        "from bot_runtime.whatsapp import library\n"
        "library.load()\n"
        "print(len(names) > 30, 'neonize.proto.Neonize_pb2' in sys.modules)\n"
        "print('neonize.proto.waE2E.WAWebProtobufsE2E_pb2' in sys.modules)\n"
        "print(ssl.create_default_context().cert_store_stats()['x509_ca'] > 50, len(certifi.contents()) > 50_000)\n"
        "print(api_implementation.Type())\n",
    )
    assert said.split() == ["True", "True", "True", "True", "True", "upb"]


UNUSED = "PIL anyio bs4 charset_normalizer httpcore httpx idna linkpreview magic phonenumbers requests tqdm urllib3"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_dependencies_that_the_runtime_never_imports_are_not_in_the_bot_image(platform: str) -> None:
    files = content("bot", platform).files
    packages = {path.split("/")[2] for path in files if path.startswith("app/site-packages/") and path.count("/") > 2}
    assert {"neonize", "google", "h11", "msgspec", "segno", "certifi"} <= packages
    assert packages.isdisjoint(UNUSED.split())
    assert not [path for path in files if "magic" in path]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_bot_image_has_no_distribution_without_its_package(platform: str) -> None:
    paths = content("bot", platform).files
    names = {match[1] for path in paths if (match := re.search(r"site-packages/([a-z0-9_]+)-[^/]+\.dist-info/", path))}
    assert names == {"certifi", "h11", "msgspec", "neonize", "protobuf", "segno"}


@pytest.mark.parametrize("image", PYTHON_IMAGES)
def test_bytecode_is_shipped_for_every_module(image: str) -> None:
    files = content(image, next(iter(image_saved(reference(image))))).files
    sources = {path for path in files if path.startswith("app/") and path.endswith(".py")}
    compiled = {path for path in files if path.endswith(".cpython-313.pyc")}
    expected = {re.sub(r"([^/]+)\.py$", r"__pycache__/\1.cpython-313.pyc", path) for path in sources}
    assert sources
    assert expected - compiled == set()


def test_platforms_of_an_image_hold_the_same_paths() -> None:
    """But for the architecture's own names, one platform has nothing that the other lacks."""
    for image in ALL_IMAGES:
        names = [
            {re.sub(r"x86[-_]64|aarch64|amd64|arm64", "ARCH", path) for path in content(image, platform).files}
            for platform in PLATFORMS
        ]
        own = {
            path for path in names[0] ^ names[1] if not re.search(r"ld-linux|lib64|\.libs/|\.so|dist-info/sboms", path)
        }
        assert own == set(), image


def test_layers_of_the_python_root_are_shared() -> None:
    for platform in PLATFORMS:
        roots = [[layer["digest"] for layer in built(image, platform)[0]["layers"][:2]] for image in PYTHON_IMAGES]
        assert all(one == other for one, other in itertools.pairwise(roots))
