"""Draws QR codes. Takes some milliseconds: call these functions in a thread."""

import base64
import io
from typing import Any

import segno

PNG_SCALE = 8


def png(code: str) -> bytes:
    """The code as a PNG image."""
    image = io.BytesIO()
    _qr(code).save(image, kind="png", scale=PNG_SCALE)
    return image.getvalue()


def data_url(code: str) -> str:
    """The PNG image as a `data:` URL."""
    return "data:image/png;base64," + base64.b64encode(png(code)).decode()


def terminal(code: str) -> str:
    """The code drawn with half-block characters."""
    text = io.StringIO()
    _qr(code).terminal(text, compact=True)
    return text.getvalue()


def _qr(code: str) -> Any:
    return segno.make_qr(code, error="l")
