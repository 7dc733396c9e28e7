"""neonize's compiled library: its path, and the signatures of its functions."""

import ctypes
import platform
import re
from importlib.machinery import PathFinder
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

OnText = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
OnEvent = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
OnLog = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)


class Bytes(ctypes.Structure):
    """The result of most functions: a protobuf message, to be freed with `FreeBytesStruct`."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t))


class LibraryError(Exception):
    """neonize's library is missing, does not load, or has another version than its Python package."""


def package_directory() -> Path:
    """Where neonize is installed, found without importing it."""
    spec = PathFinder.find_spec("neonize")
    if spec is None or not spec.submodule_search_locations:
        raise LibraryError("neonize is not installed")
    return Path(spec.submodule_search_locations[0])


def package_version() -> str:
    """The version of the installed neonize, read without importing it."""
    match = re.search(r'__version__ = "([^"]+)"', (package_directory() / "__init__.py").read_text())
    if match is None:
        raise LibraryError("the installed neonize has no version")
    return match.group(1)


def load() -> ctypes.CDLL:
    """The library, ready to be called. Raises `LibraryError`, OSError."""
    machine = platform.machine()
    directory = package_directory()
    path = directory / f"neonize-linux-{_ARCHITECTURES.get(machine, machine)}.so"
    if not path.exists():
        raise LibraryError(f"{path.name} is missing from the installed neonize")
    go = ctypes.CDLL(str(path))
    go.GetVersion.restype = ctypes.c_char_p
    found = go.GetVersion().decode()
    if found != package_version():
        raise LibraryError(f"{path.name} has version {found}, neonize has version {package_version()}")
    text, size, callbacks = ctypes.c_char_p, ctypes.c_int, (OnText, OnText, OnEvent, OnLog)
    for name, arguments, result in (
        (
            "Neonize",
            (text, text, text, size, size, text, *callbacks, text, size, text, size, text, size, ctypes.c_void_p),
            ctypes.c_void_p,
        ),
        # It returns nothing. neonize's own binding nevertheless reads a string from the register, and frees it.
        ("Disconnect", (text,), None),
        ("Stop", (text,), None),
        ("IsConnected", (text,), ctypes.c_bool),
        ("SendMessage", (text, text, size, text, size), ctypes.POINTER(Bytes)),
        ("Upload", (text, ctypes.c_void_p, size, size), ctypes.POINTER(Bytes)),
        ("DownloadAny", (text, text, size), ctypes.POINTER(Bytes)),
        ("GetJoinedGroups", (text,), ctypes.POINTER(Bytes)),
        ("GetGroupInfo", (text, text, size), ctypes.POINTER(Bytes)),
        ("DecryptPollVote", (text, text, size), ctypes.POINTER(Bytes)),
        ("SendPresence", (text, text), ctypes.c_void_p),
        ("SendChatPresence", (text, text, size, size, size), ctypes.c_void_p),
        ("MarkRead", (text, text, size, text, size, text, size, text), ctypes.c_void_p),
        ("NewsletterSendReaction", (text, text, size, size, text, text), ctypes.c_void_p),
        ("PairPhone", (text, text, size), ctypes.POINTER(Bytes)),
        ("Logout", (text,), ctypes.c_void_p),
        ("FreeString", (ctypes.c_void_p,), None),
        ("FreeBytesStruct", (ctypes.POINTER(Bytes),), None),
    ):
        function = getattr(go, name)
        function.argtypes = arguments
        function.restype = result
    return go
