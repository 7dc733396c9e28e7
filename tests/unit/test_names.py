"""Names follow one style: a class name means one thing, errors end in `Error`, durations say their unit."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["orchestrator", "bot_runtime"]
# Constants whose names end like this are durations, and have to say their unit.
DURATION = re.compile(
    r"(^|_)(AGE|BACKOFF|COOLDOWN|DEADLINE|DELAY|EXPIRY|GRACE|INTERVAL|LIFETIME|PATIENCE|PERIOD|TIMEOUT|TTL|WAIT)$"
)


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def badly_named_handlers(tree: ast.Module) -> list[tuple[int, str]]:
    """Handlers that do not call the exception `exc`; `except*` catches a group and may say so."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Try | ast.TryStar):
            allowed = {None, "exc", "group"} if isinstance(node, ast.TryStar) else {None, "exc"}
            found += [(handler.lineno, str(handler.name)) for handler in node.handlers if handler.name not in allowed]
    return found


def durations_without_unit(tree: ast.Module) -> list[tuple[int, str]]:
    """Constants of modules and classes that hold a duration as a bare number and do not end in its unit."""
    found = []
    scopes: list[ast.Module | ast.ClassDef] = [tree, *classes(tree)]
    for scope in scopes:
        for node in scope.body:
            target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
            if not isinstance(target, ast.Name) or not target.id.isupper():
                continue
            is_number = isinstance(getattr(node, "value", None), ast.Constant | ast.BinOp)
            if is_number and DURATION.search(target.id):
                found.append((node.lineno, target.id))
    return found


def test_a_class_name_means_one_thing() -> None:
    homes = defaultdict(list)
    for path, tree in modules():
        for node in classes(tree):
            homes[node.name].append(path)
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_errors_end_in_error() -> None:
    bases = {node.name: [ast.unparse(base) for base in node.bases] for _, tree in modules() for node in classes(tree)}

    def is_error(name: str) -> bool:
        return name.endswith(("Error", "Exception", "ExceptionGroup")) or any(
            map(is_error, bases.get(name.split(".")[-1], []))
        )

    assert [
        f"{path}:{node.lineno}: {node.name}"
        for path, tree in modules()
        for node in classes(tree)
        if is_error(node.name) and not node.name.endswith("Error")
    ] == []


def test_caught_exceptions_are_named_exc() -> None:
    assert [f"{path}:{line}: {name}" for path, tree in modules() for line, name in badly_named_handlers(tree)] == []


def test_durations_say_their_unit() -> None:
    assert [f"{path}:{line}: {name}" for path, tree in modules() for line, name in durations_without_unit(tree)] == []


def test_a_handler_with_another_name_is_found() -> None:
    tree = ast.parse("try: pass\nexcept OSError as e: pass\nexcept KeyError as exc: pass\nexcept TypeError: pass\n")
    assert badly_named_handlers(tree) == [(2, "e")]
    assert badly_named_handlers(ast.parse("try: pass\nexcept* OSError as group: pass\n")) == []
    assert badly_named_handlers(ast.parse("try: pass\nexcept OSError as group: pass\n")) == [(2, "group")]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("RETRY_DELAY = 1.0", True),
        ("RETRY_DELAY: float = 60 * 60", True),
        ("class A:\n    _TTL = 5", True),
        ("RETRY_DELAY_SECONDS = 1.0", False),
        ("GRACE = timedelta(hours=1)", False),
        ("PAGE = 100", False),
    ],
)
def test_a_duration_without_a_unit_is_found(source: str, found: bool) -> None:
    assert bool(durations_without_unit(ast.parse(source))) is found
