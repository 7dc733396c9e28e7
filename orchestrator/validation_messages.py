"""Validation messages for people who do not know pydantic."""

from collections.abc import Callable, Mapping
from typing import Any

Details = Mapping[str, Any]

_INTEGER = "must be an integer"
_NUMBER = "must be a number"
_BOOLEAN = "must be true or false"
_OBJECT = "must be an object"

_FIXED = {
    "extra_forbidden": "unknown field",
    "missing": "is required",
    "int_type": _INTEGER,
    "int_parsing": _INTEGER,
    "int_parsing_size": _INTEGER,
    "int_from_float": _INTEGER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode",
    "list_type": "must be an array",
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "bytes_invalid_encoding": "must be base64",
}


def _expected(details: Details) -> str:
    return f"must be {details['expected']}"


def _length(word: str, bound: str) -> Callable[[Details], str]:
    def message(details: Details) -> str:
        # A length that is checked after a string's other constraints is reported as one of items.
        is_string = details.get("field_type", "Value") == "Value"
        return f"must have at {word} {_counted(details[bound], 'character' if is_string else 'item')}"

    return message


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


_WITH_CONTEXT: dict[str, Callable[[Details], str]] = {
    "string_too_short": _length("least", "min_length"),
    "string_too_long": _length("most", "max_length"),
    "too_short": _length("least", "min_length"),
    "too_long": _length("most", "max_length"),
    "string_pattern_mismatch": lambda details: f"must match {details['pattern']}",
    "greater_than_equal": lambda details: f"must be at least {details['ge']}",
    "less_than_equal": lambda details: f"must be at most {details['le']}",
    "enum": _expected,
    "literal_error": _expected,
    "union_tag_invalid": lambda details: f"type must be one of {details['expected_tags']}",
    "union_tag_not_found": lambda _: "type is required",
}


def validation_message(error: Details) -> str:
    """The message for one entry of pydantic's `errors()`."""
    kind = error["type"]
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _WITH_CONTEXT and error.get("ctx"):
        return _WITH_CONTEXT[kind](error["ctx"])
    return str(error["msg"]).removeprefix("Value error, ")
