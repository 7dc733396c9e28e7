"""The format of a response is negotiated by the header `Accept`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.negotiation import best_of

OFFERS = {"application/json": "json", "image/png": "png", "text/plain": "text"}


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("*/*", "json"),
        ("image/png", "png"),
        ("IMAGE/PNG", "png"),
        ("image/*", "png"),
        ("image/png, application/json", "json"),
        ("image/png;q=0.9, application/json;q=0.8", "png"),
        ("*/*, image/png", "png"),
        ("*/*, application/json;q=0", "png"),
        ("text/*;q=0.3, */*;q=0.2", "text"),
        ("application/xml", None),
        ("image/png;q=0", None),
        ("image/png;q=abc", None),
        ("", None),
        (",,;", None),
    ],
)
def test_the_preference_of_the_caller_then_ours(accept: str, chosen: str | None) -> None:
    assert best_of(accept, OFFERS) == chosen


@given(st.text())
def test_any_header_is_parsed_or_matches_nothing(accept: str) -> None:
    assert best_of(accept, OFFERS) in {None, *OFFERS.values()}
