"""Facts read from files."""

import struct
from io import BytesIO

import pytest
from PIL import Image

from bot_runtime.whatsapp.files import Facts, read_facts


def picture(kind: str, **options: object) -> bytes:
    file = BytesIO()
    Image.new("RGB", (320, 200)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        picture("PNG"),
        picture("JPEG"),
        picture("JPEG", progressive=True, comment="x" * 5000),
        picture("WEBP"),
        picture("WEBP", lossless=True),
        picture("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
    ],
)
def test_the_size_of_an_image(data: bytes) -> None:
    facts = read_facts(memoryview(data))
    assert (facts.width, facts.height, facts.animated) == (320, 200, False)


def test_an_animated_sticker() -> None:
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    file = BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    assert read_facts(file.getvalue()) == Facts(64, 64, animated=True)


def test_the_length_of_a_voice_message() -> None:
    page = b"OggS\0\4" + struct.pack("<q", 48000 * 7 + 100) + bytes(13)
    assert read_facts(b"OggS" + bytes(100_000) + page + bytes(60)).seconds == 7


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_truncated_files_are_accepted(kind: str) -> None:
    data = picture(kind)
    for size in range(min(len(data), 700)):
        read_facts(data[:size])


@pytest.mark.parametrize("data", [b"x", b"OggS", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff\xe0\0\0" * 99, b"%PDF-1.7"])
def test_other_files_have_no_facts(data: bytes) -> None:
    assert read_facts(data) == Facts()
