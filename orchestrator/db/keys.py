"""API keys and bot tokens: how they are generated and what is stored of them."""

import hashlib
import secrets
import uuid

KEY_PREFIX = "bd"


def new_key() -> tuple[str, str]:
    """A new API key: its public id, and the key `bd_{id}_{secret}`, which is shown once."""
    key_id = secrets.token_hex(4)
    return key_id, f"{KEY_PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"


def hash_key(key: str) -> str:
    """What is stored of a key. SHA-256 suffices: a key has 256 random bits, so it cannot be guessed."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_runtime_token() -> str:
    """A bearer token for one bot's HTTP endpoint."""
    return secrets.token_urlsafe(32)


def new_uid() -> str:
    """A value that no other bot has."""
    return str(uuid.uuid4())
