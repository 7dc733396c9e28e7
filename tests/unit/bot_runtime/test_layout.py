"""The layout of the bot's modules, as far as import-linter does not check it."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "bot_runtime"
MAX_TOP_LEVEL_FILES = 16


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_module_that_claims_to_be_pure_is_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (checked,) = (contract for contract in contracts if contract["name"] == "the bot's decisions are pure")
    claiming = {module_name(path) for path in PACKAGE.rglob("*.py") if "Pure" in docstring(path)}
    assert claiming
    assert claiming <= set(checked["source_modules"])


def test_the_top_level_has_few_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MAX_TOP_LEVEL_FILES
