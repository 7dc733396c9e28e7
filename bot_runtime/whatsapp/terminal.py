"""The QR code in the container's log, for whoever runs `docker logs`."""

from datetime import datetime


def draw_qr(code: str, expires_at: datetime) -> str:
    """Half-block characters, two rows of modules to a line, and when the code expires."""
    import segno  # only a bot without a session needs it

    rows = [list(row) for row in segno.make(code, error="l", micro=False).matrix_iter(border=2)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    lines = [
        "".join(_BLOCKS[bool(upper), bool(lower)] for upper, lower in zip(above, below, strict=True))
        for above, below in zip(rows[::2], rows[1::2], strict=True)
    ]
    return "\n".join([*lines, f"scan before {expires_at:%H:%M:%S} UTC"])


# Light modules are drawn, dark ones left out: terminals are mostly dark, and phones want dark on light.
_BLOCKS = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}
