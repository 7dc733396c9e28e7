"""A module is listed in an import contract on purity exactly when its docstring claims that it is pure."""

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ["orchestrator", "bot_runtime"]


def claimed() -> set[str]:
    """The modules and packages whose docstring says "pure"."""
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
            if re.search(r"\bpure\b", docstring, re.IGNORECASE):
                module = path.parent if path.name == "__init__.py" else path.with_suffix("")
                found.add(".".join(module.relative_to(ROOT).parts))
    return found


def listed() -> set[str]:
    """The modules that the contracts named "… pure" keep away from all I/O."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    modules = {module for contract in contracts if "pure" in contract["name"] for module in contract["source_modules"]}
    return {module for module in modules if module.split(".")[0] in PACKAGES}


def test_every_module_that_claims_to_be_pure_is_held_to_it() -> None:
    assert claimed() == listed()
