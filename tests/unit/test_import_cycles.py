"""No import cycle, neither between modules nor between packages; imports for typing only count as well."""

from collections.abc import Iterable, Mapping

import grimp
import pytest

PACKAGES = ["orchestrator", "bot_runtime"]


def find_cycle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """One cycle, its first node repeated at the end; empty when there is none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(node: str) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        path.append(node)
        for imported in sorted(graph.get(node, ())):
            if cycle := visit(imported):
                return cycle
        done.add(path.pop())
        return []

    for node in sorted(graph):
        if cycle := visit(node):
            return cycle
    return []


def imports_of(root: str) -> dict[str, set[str]]:
    """What each module of a package imports from the same package."""
    graph = grimp.build_graph(root, exclude_type_checking_imports=False)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def siblings(modules: Mapping[str, Iterable[str]], parent: str) -> dict[str, set[str]]:
    """The imports between the direct children of a package, each with everything below it."""

    def child(module: str) -> str | None:
        rest = module.removeprefix(f"{parent}.")
        return None if rest == module else rest.split(".")[0]

    result: dict[str, set[str]] = {}
    for module, imported in modules.items():
        if (importer := child(module)) is not None:
            targets = {target for name in imported if (target := child(name)) is not None}
            result.setdefault(importer, set()).update(targets - {importer})
    return result


@pytest.mark.parametrize("root", PACKAGES)
def test_modules_import_each_other_in_no_cycle(root: str) -> None:
    assert " -> ".join(find_cycle(imports_of(root))) == ""


@pytest.mark.parametrize("root", PACKAGES)
def test_packages_import_each_other_in_no_cycle(root: str) -> None:
    modules = imports_of(root)
    parents = {module.rpartition(".")[0] for module in modules} - {""}
    cycles = {parent: cycle for parent in sorted(parents) if (cycle := find_cycle(siblings(modules, parent)))}
    assert {parent: " -> ".join(cycle) for parent, cycle in cycles.items()} == {}


def test_a_cycle_is_found() -> None:
    assert find_cycle({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}) == ["b", "d", "b"]
    assert find_cycle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def test_packages_are_seen_through_their_modules() -> None:
    modules = {"r.a.x": {"r.b.y"}, "r.b.z": {"r.a.w"}, "r.b.y": set[str]()}
    assert find_cycle(modules) == []
    assert find_cycle(siblings(modules, "r")) == ["a", "b", "a"]
