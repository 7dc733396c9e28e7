"""Events are inserted by statements of a limited size, whatever the size of their page."""

from typing import Any

from orchestrator.reconcile.status_store import STATEMENT_BYTES, batches


def row(size: int) -> dict[str, Any]:
    return {"data": {"a": "x" * (size - len('{"a":""}'))}}


def sizes(*events: int) -> list[int]:
    """How many events each statement has."""
    rows = [row(size) for size in events]
    found = list(batches(rows))
    assert [each for batch in found for each in batch] == rows
    return [len(batch) for batch in found]


def test_small_events_share_a_statement() -> None:
    assert sizes() == []
    assert sizes(*[100] * 200) == [200]
    assert sizes(STATEMENT_BYTES // 2, STATEMENT_BYTES // 2) == [2]


def test_a_statement_ends_before_it_becomes_too_large() -> None:
    half = STATEMENT_BYTES // 2
    assert sizes(half, half, half) == [2, 1]
    assert sizes(2 * STATEMENT_BYTES, 10, 10) == [1, 2]
    assert sizes(10, 2 * STATEMENT_BYTES, 10) == [1, 1, 1]
