"""Forbids this process to execute any file that is not part of its image: no file of the volume, for example.

By Landlock, which any process may ask of Linux, because Docker has no option that mounts a named volume `noexec`. The
restriction covers threads and processes that are started later, and can never be lifted.
"""

import ctypes
import os
import sys
from pathlib import Path

# The same on all architectures.
_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_PATH_BENEATH = 1
_EXECUTE = 1
_SET_NO_NEW_PRIVILEGES = 38


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent", ctypes.c_int32))


def forbid_foreign_programs() -> bool:
    """Apply it to this thread, so call it before any other is started. Returns whether the kernel supports it."""
    libc = ctypes.CDLL(None, use_errno=True)
    ruleset = _Ruleset(_EXECUTE)
    rules = libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(ctypes.sizeof(ruleset)), 0)
    if rules < 0:
        return False
    try:
        for directory in _image_directories():
            parent = os.open(directory, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = _PathBeneath(_EXECUTE, parent)
                if libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0):
                    return False
            finally:
                os.close(parent)
        # Required of a process without privileges; containers of bots have it from the start.
        return not libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) and not libc.syscall(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _image_directories() -> set[Path]:
    """Those of the root directory that are on its file system (mounted ones are not), and Python's, wherever it is."""
    root = Path("/")
    device = root.stat().st_dev
    found = {path for path in root.iterdir() if path.is_dir() and path.stat().st_dev == device}
    return {*found, Path(sys.base_prefix), Path(sys.executable).resolve().parent}
