"""The protobuf wire format."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatsapp_simulator.protocol import wire

FIELDS = st.dictionaries(
    st.integers(1, 1 << 20), st.one_of(st.integers(0, (1 << 64) - 1), st.binary(max_size=300)), max_size=8
)


@settings(deadline=None)
@given(FIELDS)
def test_encoding_and_decoding_round_trip(fields: dict[int, int | bytes]) -> None:
    decoded = wire.decode(wire.encode(*fields.items()))

    for number, value in fields.items():
        assert number in decoded
        assert (decoded.number(number) if isinstance(value, int) else decoded.raw(number)) == value


def test_known_encodings() -> None:
    assert wire.encode((1, 150), (2, "testing"), (3, None)) == bytes.fromhex("089601120774657374696e67")


def test_fixed_size_fields_are_decoded() -> None:
    assert wire.decode(bytes.fromhex("0901000000000000000d02000000")).number(1) == 2


def test_absent_fields_have_defaults() -> None:
    empty = wire.decode(b"")

    assert (empty.number(1), empty.number(1, 7), empty.raw(2), empty.text(3), 1 in empty) == (0, 7, b"", "", False)
    assert empty.message(4).raw(1) == b""


@pytest.mark.parametrize(
    "data", [b"\x08", b"\x0a\x05abc", b"\x0b", b"\x08" + b"\xff" * 11], ids=["cut", "too long", "group", "endless"]
)
def test_malformed_messages_are_rejected(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(data)


def test_a_field_of_a_different_type_is_rejected() -> None:
    fields = wire.decode(wire.encode((1, 5), (2, b"x")))

    with pytest.raises(wire.WireError, match="field 1 is not bytes"):
        fields.raw(1)
    with pytest.raises(wire.WireError, match="field 2 is not a number"):
        fields.number(2)
