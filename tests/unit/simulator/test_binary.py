"""The binary XML."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatsapp_simulator.protocol import binary
from whatsapp_simulator.protocol.binary import BinaryError, Node
from whatsapp_simulator.protocol.jid import LID, USER, Jid, parse
from whatsapp_simulator.tokens import Tokens

TOKENS = Tokens(
    ("", *(f"single{index}" for index in range(1, 236))),
    tuple(tuple(f"double{table}.{index}" for index in range(256)) for table in range(4)),
)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
JIDS = st.builds(Jid, st.text("0123456789", min_size=1, max_size=15), st.sampled_from([USER, LID]), st.integers(0, 255))
NODES: st.SearchStrategy[Node] = st.recursive(
    st.builds(
        Node, NAMES, st.dictionaries(NAMES, st.one_of(NAMES, JIDS), max_size=3), st.none() | st.binary(max_size=300)
    ),
    lambda children: st.builds(
        Node, NAMES, st.dictionaries(NAMES, NAMES, max_size=2), st.lists(children, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(NODES)
def test_encoding_and_decoding_round_trip(node: Node) -> None:
    assert binary.decode(binary.encode(node), TOKENS) == node


def test_tokens_numbers_and_addresses_are_decoded() -> None:
    data = bytes((0, 248, 6, 7))  # flags; a list of six: tag, two attributes, content; tag: single token 7
    data += bytes((236 + 2, 9, 255, 0x82, 0x12, 0x3F))  # double token 9 of table 2 = nibbles "123"
    data += bytes((1, 247, 1, 5, 251, 0x01, 0xAB))  # single token 1 = device 5 of the hidden address "AB"
    data += bytes((255, 1, 0x45))  # content: nibbles "45"

    node = binary.decode(data, TOKENS)

    assert node == Node("single7", {"double2.9": "123", "single1": Jid("AB", LID, 5)}, b"45")


def test_compressed_stanzas_are_decoded() -> None:
    plain = binary.encode(Node("iq", {"id": "1"}))

    assert binary.decode(b"\x02" + zlib.compress(plain[1:]), TOKENS) == Node("iq", {"id": "1"})


@pytest.mark.parametrize("size", [255, 256, 1 << 20])
def test_content_of_any_length(size: int) -> None:
    node = Node("a", {}, bytes(size))

    assert binary.decode(binary.encode(node), TOKENS) == node


def test_a_list_of_many_children() -> None:
    node = Node("a", {}, [Node("b")] * 812)

    assert len(binary.decode(binary.encode(node), TOKENS).children) == 812


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_malformed_stanzas_raise_only_binary_errors(data: bytes) -> None:
    try:
        binary.decode(data, TOKENS)
    except BinaryError:
        pass


def test_children_are_found_by_tag() -> None:
    node = Node("a", {"n": "1"}, [Node("b", {}, [Node("c", {"j": Jid("1", USER)}, b"x")]), Node("b", {}, b"2")])
    inner = node.child("b", "c")

    assert inner is not None
    assert (inner.jid("j"), inner.get("j"), inner.jid("missing")) == (Jid("1", USER), "1@s.whatsapp.net", None)
    assert [child.data for child in node.walk("b")] == [b"", b"2"]
    assert (node.child("b", "missing"), node.child_data("missing"), node.get("n")) == (None, b"", "1")


@pytest.mark.parametrize(
    ("text", "jid"),
    [
        ("491701234567@s.whatsapp.net", Jid("491701234567", USER)),
        ("12:7@lid", Jid("12", LID, 7)),
        ("s.whatsapp.net", Jid("", USER)),
        ("@s.whatsapp.net", Jid("", USER)),
    ],
)
def test_addresses_have_a_text_form(text: str, jid: Jid) -> None:
    assert parse(text) == jid
    assert parse(str(jid)) == jid


@pytest.mark.parametrize("text", ["", "a@", "1:x@lid", "1:2"])
def test_malformed_addresses_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        parse(text)
