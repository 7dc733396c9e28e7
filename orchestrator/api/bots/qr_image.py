"""Draws QR codes. Takes some milliseconds: call it in a thread."""

import base64
import io
from typing import Any

import segno

PNG_SCALE = 8


def png(code: str) -> bytes:
    """A picture."""
    image = io.BytesIO()
    _made(code).save(image, kind="png", scale=PNG_SCALE)
    return image.getvalue()


def data_url(code: str) -> str:
    """The picture as a `data:` URL."""
    return "data:image/png;base64," + base64.b64encode(png(code)).decode()


def terminal(code: str) -> str:
    """Drawn with half blocks."""
    text = io.StringIO()
    _made(code).terminal(text, compact=True)
    return text.getvalue()


def _made(code: str) -> Any:
    return segno.make_qr(code, error="l")
