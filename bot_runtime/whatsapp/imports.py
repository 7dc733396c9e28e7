"""neonize's protobuf messages without neonize's Python client.

`import neonize.proto.…` would first run `neonize/__init__.py`, which imports the client and with it pillow, requests,
httpx, phonenumbers, BeautifulSoup and rich. So a package of the same name and location replaces it, and runs the real
`__init__.py` when a name is first looked up in it: `neonize.NewClient` works, and raises the ordinary ImportError where
its libraries are not installed.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """A package whose `__init__.py` runs when a name is first looked up in it."""

    def __getattr__(self, name: str) -> Any:
        spec: ModuleSpec | None = self.__spec__
        if (name.startswith("__") and name != "__version__") or spec is None or spec.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]  # an ordinary package from here on, also while its own imports run
        try:
            spec.loader.exec_module(self)
        except BaseException:
            self.__class__ = _Deferred
            raise
        return getattr(self, name)


def defer_package(name: str) -> None:
    """Replace the package `name` by a deferred one, unless it has been imported already."""
    if name in sys.modules:
        return
    spec = PathFinder.find_spec(name)
    if spec is None:
        raise ImportError(f"{name} is not installed")
    module = module_from_spec(spec)
    module.__class__ = _Deferred
    sys.modules[name] = module
