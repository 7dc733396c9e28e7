"""Keys, patching and token tables, which are used by image builds."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from whatsapp_simulator import __main__ as command_line
from whatsapp_simulator import keys, patch, tokens
from whatsapp_simulator.tokens import TokenError

LIBRARY = b"before" + patch.ORIGINAL_ROOT_KEY + b"after"
KEY = bytes(range(32))


def test_the_public_files_are_reproducible(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert command_line.main(["keys", "--out", str(tmp_path / name)]) == 0

    files = [{file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1]
    assert set(files[0]) == {"ca.pem", "noise-root.bin"}
    assert files[0]["noise-root.bin"] == keys.noise_root().public


def test_the_ca_certificate_is_valid() -> None:
    certificate = x509.load_pem_x509_certificate(keys.ca_certificate())

    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert "test keys" in certificate.subject.rfc4514_string()
    certificate.verify_directly_issued_by(certificate)


def test_tls_works_for_every_whatsapp_host() -> None:
    trusting = ssl.create_default_context(cadata=keys.ca_certificate().decode())
    for host in ("web.whatsapp.com", "mmg.whatsapp.net", "media.cdn.whatsapp.net"):
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting.wrap_bio(to_client, to_server, server_hostname=host)
        server = keys.tls_context().wrap_bio(to_server, to_client, server_side=True)
        for side in (client, server, client):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        assert client.version() == "TLSv1.3"


def test_only_the_root_key_is_replaced() -> None:
    assert patch.replace_root_key(LIBRARY, KEY) == b"before" + KEY + b"after"


@pytest.mark.parametrize("library", [b"nothing here", LIBRARY * 2])
def test_a_library_without_exactly_one_key_is_rejected(library: bytes) -> None:
    with pytest.raises(patch.PatchError, match="instead of exactly once"):
        patch.replace_root_key(library, KEY)


def test_patching_works_as_a_plain_script(tmp_path: Path) -> None:
    (tmp_path / "lib.so").write_bytes(LIBRARY)
    (tmp_path / "lib.so").chmod(0o755)
    (tmp_path / "key").write_bytes(KEY)
    command = [sys.executable, "-I", "-S", patch.__file__]
    command += ["--library", "lib.so", "--out", "new/lib.so", "--key", "key"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "new/lib.so").read_bytes() == b"before" + KEY + b"after"
    assert (tmp_path / "new/lib.so").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("content", [b"no key", None])
def test_a_failed_patch_prints_the_reason_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    source = tmp_path / "lib.so"
    if content is not None:
        source.write_bytes(content)

    assert command_line.main(["patch", "--library", str(source), "--out", str(tmp_path / "out")]) == 1

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(source) in error
    assert not (tmp_path / "out").exists()


def test_the_token_tables_are_extracted_from_the_library(tmp_path: Path) -> None:
    library = tokens.installed_library()
    assert library is not None

    assert command_line.main(["tokens", "--library", str(library), "--out", str(tmp_path / "tokens.json")]) == 0

    tables = tokens.load(tmp_path / "tokens.json")
    assert tables == tokens.default()
    assert tables.single[:4] == ("", "xmlstreamstart", "xmlstreamend", "s.whatsapp.net")
    assert tables.double[0][:2] == ("read-self", "active")
    assert all(text for table in tables.double for text in table)


@pytest.mark.parametrize("content", [b"", b"\x7fELF\x02\x01" + bytes(200), b"text"])
def test_a_library_without_tables_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lib.so").write_bytes(content)

    with pytest.raises(TokenError, match=r"lib\.so: no token tables found"):
        tokens.extract(tmp_path / "lib.so")


@pytest.mark.parametrize("content", ["", "{}", '{"single": [], "double": []}'])
def test_a_file_without_tables_is_rejected(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokens.json").write_text(content)

    with pytest.raises(TokenError, match="no readable token tables"):
        tokens.load(tmp_path / "tokens.json")
