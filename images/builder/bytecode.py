"""Bytecode for every layer, compiled on this machine by the image's own Python.

Bytecode is the same on every architecture, so the native root's interpreter compiles it for all of them. It is started
through its own dynamic loader: no chroot, no container, no root rights. The work is split into a fixed number of
processes, because the bytes depend on what the process compiled before.
"""

import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from images.builder.errors import BuildError

PROCESSES = 4
_LOADERS = {
    "x86_64": ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "aarch64": ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
}
_COMPILE = """
import pathlib, py_compile, sys
source, prefix, target, name_format, index, count = sys.argv[1:]
files = sorted(pathlib.Path(source).rglob("*.py"))
for file in files[int(index)::int(count)]:
    name = file.relative_to(source)
    py_compile.compile(
        str(file), cfile=str(pathlib.Path(target, name.parent, name_format.format(name.stem))),
        dfile=f"/{prefix}/{name}", doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


def native_architecture() -> str:
    """Debian's name of this machine's architecture."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    try:
        return names[platform.machine()]
    except KeyError:
        raise BuildError(f"images are built on amd64 or arm64, not on {platform.machine()}") from None


def compile_tree(python_root: Path, source: Path, prefix: str, target: Path, *, replaces_source: bool = False) -> None:
    """Compile every .py file below `source` into `target`, for use below `/prefix` in the image.

    `python_root` is an unpacked Python root of this machine's architecture. Bytecode that replaces its source gets the
    source's directory, other bytecode goes to `__pycache__`.
    """
    triplet, loader = _LOADERS[platform.machine()]
    libraries = python_root / "usr/lib" / triplet
    command = [
        libraries / loader,
        "--library-path",
        libraries,
        python_root / "usr/bin/python3.13",
        *("-S", "-s", "-B", "-c", _COMPILE, source, prefix, target),
        "{}.pyc" if replaces_source else "__pycache__/{}.cpython-313.pyc",
    ]
    env = {"PYTHONHOME": str(python_root / "usr"), "PYTHONHASHSEED": "0", "PATH": os.defpath}

    def work(index: int) -> None:
        done = subprocess.run(  # noqa: S603
            [*command, str(index), str(PROCESSES)], env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BuildError(f"compiling {source} failed: {done.stderr.strip().splitlines()[-1]}")

    with ThreadPoolExecutor(PROCESSES) as pool:
        list(pool.map(work, range(PROCESSES)))
