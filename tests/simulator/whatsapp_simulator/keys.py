"""The simulator's keys. They are derived from a published seed: TEST KEYS that protect nothing.

Keys and TLS certificates are identical on every machine and in every run, byte for byte, so images built with them are
reproducible, and a client image built for one simulator trusts every simulator.
"""

from __future__ import annotations

import datetime
import hashlib
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from whatsapp_simulator.protocol import wire
from whatsapp_simulator.protocol.curve import KeyPair, Random, key_pair

#: Public on purpose: it only allows its holder to run a simulator.
SEED = b"botdock whatsapp simulator, test keys, not a secret"

HOSTS = ("web.whatsapp.com", "*.whatsapp.com", "whatsapp.net", "*.whatsapp.net", "*.cdn.whatsapp.net")
_NOT_BEFORE = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
_NOT_AFTER = datetime.datetime(2123, 12, 31, tzinfo=datetime.UTC)
_INTERMEDIATE_SERIAL, _LEAF_SERIAL, _ROOT_SERIAL = 1, 2, 0


def derive(label: str) -> bytes:
    """32 bytes that depend only on the seed and the label."""
    return hashlib.sha256(SEED + b"\0" + label.encode()).digest()


def noise_root() -> KeyPair:
    """The key pair whose public key is patched into the client's library."""
    return key_pair(derive("noise root"))


@dataclass(frozen=True, slots=True)
class NoiseIdentity:
    """The server's identity in the Noise handshake: its static key pair and the certificate chain for it."""

    static: KeyPair
    chain: bytes


def noise_identity(random: Random) -> NoiseIdentity:
    """The server's static key pair with a chain root → intermediate → leaf (random: for the signatures)."""
    intermediate, static = key_pair(derive("noise intermediate")), key_pair(derive("noise static"))
    middle = _noise_certificate(_INTERMEDIATE_SERIAL, _ROOT_SERIAL, intermediate.public, noise_root(), random)
    leaf = _noise_certificate(_LEAF_SERIAL, _INTERMEDIATE_SERIAL, static.public, intermediate, random)
    return NoiseIdentity(static, wire.encode((1, leaf), (2, middle)))


def _noise_certificate(serial: int, issuer_serial: int, key: bytes, issuer: KeyPair, random: Random) -> bytes:
    period = (int(_NOT_BEFORE.timestamp()), int(_NOT_AFTER.timestamp()))
    details = wire.encode((1, serial), (2, issuer_serial), (3, key), (4, period[0]), (5, period[1]))
    return wire.encode((1, details), (2, issuer.sign(details, random)))


def ca_certificate() -> bytes:
    """The CA certificate that signs the server's TLS certificate, as PEM."""
    return _certificate(ca=True).public_bytes(serialization.Encoding.PEM)


def tls_context() -> ssl.SSLContext:
    """A TLS server context with a certificate for WhatsApp's hosts."""
    key = _ed25519("tls server").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = _certificate(ca=False).public_bytes(serialization.Encoding.PEM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder, "chain.pem")
        chain.touch(mode=0o600)
        chain.write_bytes(key + certificate)
        context.load_cert_chain(chain)
    return context


def write_public(folder: Path) -> None:
    """Write `ca.pem` and `noise-root.bin` (32 bytes) to a folder, which is created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.pem").write_bytes(ca_certificate())
    (folder / "noise-root.bin").write_bytes(noise_root().public)


def _ed25519(label: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(derive(label))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(*, ca: bool) -> x509.Certificate:
    # Ed25519 signatures are deterministic, so the files are identical each time.
    issuer_key = _ed25519("tls ca")
    subject_key = (issuer_key if ca else _ed25519("tls server")).public_key()
    issuer = _name("WhatsApp simulator CA (test keys)")
    builder = (
        x509.CertificateBuilder()
        .subject_name(issuer if ca else _name("WhatsApp simulator (test keys)"))
        .issuer_name(issuer)
        .public_key(subject_key)
        .serial_number(1 if ca else 2)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(_usage(ca=ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not ca:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS])
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(names, critical=False).add_extension(server, critical=False)
    return builder.sign(issuer_key, None)


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
