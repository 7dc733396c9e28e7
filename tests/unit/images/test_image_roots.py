"""Package roots of the images: built again when their recipe changes or their packages are old, and only then."""

import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from images.builder import __main__ as command
from images.builder import roots
from images.builder.errors import BuildError
from images.builder.roots import Root, build_root
from images.builder.workspace import Workspace

DAY_SECONDS = 86_400


class Archive:
    """A package archive with one package, whose version can change and which can be unreachable."""

    def __init__(self) -> None:
        self.version = "1.0"
        self.reachable = True
        self.downloads = 0

    def bootstrap(self, root: Root, _recipe: object) -> Path:
        if not self.reachable:
            raise BuildError("no route to host")
        self.downloads += 1
        (root.work / "record").mkdir()
        (root.work / "record/tool.control").write_text(f"Package: tool\nVersion: {self.version}\nArchitecture: amd64\n")
        (root.work / "record/tool.files").write_text("./usr/bin/tool\n")
        archive = root.work / "packages.tar"
        with tarfile.open(archive, "w") as tar:
            content = self.version.encode()
            info = tarfile.TarInfo("./usr/bin/tool")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        return archive


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    recipes = tmp_path / "recipes"
    (recipes / "small").mkdir(parents=True)
    (recipes / "small.toml").write_text('suite = "x"\npackages = ["tool"]\nkeep = ["usr/*"]\ndrop = []\n')
    (recipes / "record.sh").write_text("")
    archive = Archive()
    monkeypatch.setattr(roots, "_RECIPES", recipes)
    monkeypatch.setattr(roots, "_bootstrap", archive.bootstrap)
    return archive


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Root]:
    def build(*, age_days: float = 0, max_age_days: float = 7) -> Root:
        workspace = Workspace(root=tmp_path / "build", quiet=True, base_max_age_days=max_age_days)
        stamp = workspace.stamps / "small-amd64"
        if stamp.exists():
            then = time.time() - age_days * DAY_SECONDS
            os.utime(stamp, (then, then))
        return build_root(workspace, "small", "amd64")

    return build


def test_a_recent_root_is_used_again(archive: Archive, build: Callable[..., Root]) -> None:
    first = build().key
    assert build(age_days=6.9).key == first
    assert archive.downloads == 1


def test_an_old_root_is_built_again_and_its_key_follows_the_versions(
    archive: Archive, build: Callable[..., Root]
) -> None:
    first = build().key
    assert build(age_days=7.1).key == first, "the same packages: nothing that depends on the root changes"
    assert archive.downloads == 2
    archive.version = "1.1"
    second = build(age_days=7.1)
    assert second.key != first
    with tarfile.open(second.layer) as layer:
        assert layer.extractfile("usr/bin/tool").read() == b"1.1"  # type: ignore[union-attr]
    assert build().key == second.key
    assert archive.downloads == 3


def test_the_age_can_be_chosen(archive: Archive, build: Callable[..., Root]) -> None:
    build()
    build(age_days=20, max_age_days=30)
    assert archive.downloads == 1
    build(age_days=2, max_age_days=1)
    assert archive.downloads == 2


def test_without_a_network_an_old_root_is_used_and_tried_again_later(
    archive: Archive, build: Callable[..., Root]
) -> None:
    first = build().key
    archive.reachable = False
    root = build(age_days=30)
    assert root.key == first
    assert [part.name for part in root.components()] == ["tool"]
    archive.reachable = True
    build(age_days=30)
    assert archive.downloads == 2


def test_a_first_build_without_a_network_fails(archive: Archive, build: Callable[..., Root]) -> None:
    archive.reachable = False
    with pytest.raises(BuildError, match="no route to host"):
        build()


def test_a_malformed_age_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BASE_MAX_AGE_DAYS", "weekly")
    assert command.main(["build"]) == 1
    assert capsys.readouterr().err == "images: FAILED: BASE_MAX_AGE_DAYS must be a number of days, not 'weekly'\n"


def test_files_of_another_user_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def locked(_: Workspace) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "lock"))

    monkeypatch.setattr(Workspace, "alone", locked)
    assert command.main(["build"]) == 1
    said = capsys.readouterr().err
    assert f"no permission for {tmp_path / 'lock'}, which another user built; run 'sudo chown -R $USER " in said
