"""Content negotiation by the header `Accept`."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def best_of(accept: str, offers: Mapping[str, T]) -> T | None:
    """The offer (by media type, in order of preference) that `accept` prefers; None if none is acceptable.

    The quality value decides first, then how specific the match is (`image/png` before `image/*` before `*/*`), then
    the order of the offers.
    """
    ranges = [_parse(part) for part in accept.split(",") if part.strip()]
    best: tuple[float, int] = (0.0, 0)
    chosen: T | None = None
    for media_type, offer in offers.items():
        # The most specific range applies to a media type.
        precision, quality = max(
            ((_precision(pattern, media_type), quality) for pattern, quality in ranges), default=(0, 0.0)
        )
        if precision and quality > 0 and (quality, precision) > best:
            best, chosen = (quality, precision), offer
    return chosen


def _parse(part: str) -> tuple[str, float]:
    pattern, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
    try:
        return pattern, min(1.0, max(0.0, float(quality)))
    except ValueError:
        return pattern, 0.0


def _precision(pattern: str, media_type: str) -> int:
    if pattern == media_type:
        return 3
    if pattern == media_type.partition("/")[0] + "/*":
        return 2
    return 1 if pattern == "*/*" else 0
