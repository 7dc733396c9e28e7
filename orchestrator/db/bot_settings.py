"""Merges settings: a change into a bot's settings, and those into the defaults."""

from typing import Any


def merge(present: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Settings after a change: objects field by field, everything else as a whole; null removes an override."""
    merged = dict(present)
    for name, value in change.items():
        before = present.get(name)
        if isinstance(value, dict):
            value = merge(before if isinstance(before, dict) else {}, value)
        merged[name] = value
    return {name: value for name, value in merged.items() if value is not None and value != {}}
