"""Draws the QR code for the log of the container (`docker logs`)."""

from datetime import datetime


def draw_qr(code: str, expires_at: datetime) -> str:
    """The code in half-block characters, two rows of modules per line, and when it expires."""
    import segno  # only a bot without a session needs it

    rows = [list(row) for row in segno.make(code, error="l", micro=False).matrix_iter(border=2)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    lines = [
        "".join(_BLOCKS[bool(upper), bool(lower)] for upper, lower in zip(above, below, strict=True))
        for above, below in zip(rows[::2], rows[1::2], strict=True)
    ]
    return "\n".join([*lines, f"scan before {expires_at:%H:%M:%S} UTC"])


# Light modules are drawn, dark ones are not: most terminals are dark, and phones expect dark on light.
_BLOCKS = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}
