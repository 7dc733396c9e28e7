"""API keys and bot tokens: how they are made and what is kept of them."""

import hashlib
import secrets

KEY_PREFIX = "bd"


def new_key() -> tuple[str, str]:
    """A new API key: its public id, and the key `bd_{id}_{secret}` that is shown once."""
    key_id = secrets.token_hex(4)
    return key_id, f"{KEY_PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"


def hash_key(key: str) -> str:
    """What is kept of a key. SHA-256 is enough: a key carries 256 random bits, there is nothing to guess."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_runtime_token() -> str:
    """A bearer token for one bot's HTTP endpoint."""
    return secrets.token_urlsafe(32)
