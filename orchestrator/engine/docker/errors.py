"""Translates errors of Docker into those of `base.py`: one sentence each, no stack trace, no HTTP."""

import re

import requests
from docker.errors import APIError, ImageNotFound
from urllib3.exceptions import ReadTimeoutError

from orchestrator.engine.base import (
    ContainerNotFoundError,
    DiskFullError,
    EngineError,
    EngineUnavailableError,
    ImageMissingError,
    InvalidSpecError,
    NetworkMissingError,
)

MAX_REASON_CHARS = 300

# A daemon that is shutting down answers running calls with these, as if each container were at fault.
_SHUTTING_DOWN = (
    "context canceled",
    "client connection is closing",
    "transport is closing",
    "ttrpc: closed",
    "shutting down",
    "containerd.sock",
)
_NETWORK_GONE = re.compile(r"\bnetwork \S+ not found")
_DISK_FULL = ("no space left on device", "disk quota exceeded")


class CallTimeoutError(EngineUnavailableError):
    """The engine did not answer a call in time."""


def is_timeout(error: BaseException) -> bool:
    """Whether the engine did not answer in time; requests has another class for a timeout within the body."""
    return isinstance(error, requests.Timeout) or isinstance(error.__context__, ReadTimeoutError)


def translate(error: Exception, *, action: str, host: str) -> EngineError:
    """The EngineError for an exception of a call to Docker.

    `action` completes "cannot …" (`start container botdock-s-b`); `host` is the engine's address.
    """
    if isinstance(error, APIError):
        return _of_answer(error, action)
    if isinstance(error, requests.Timeout):
        return EngineUnavailableError(f"cannot {action}: the Docker engine at {host} does not respond in time")
    if isinstance(error, (requests.RequestException, OSError)):
        return EngineUnavailableError(f"cannot {action}: the Docker engine at {host} is unavailable ({_cause(error)})")
    return EngineError(f"cannot {action}: {_sentence(str(error))}")


def _of_answer(error: APIError, action: str) -> EngineError:
    reason = _sentence(error.explanation or f"the engine responded with status {error.status_code}")
    message = f"cannot {action}: {reason}"
    text = reason.lower()
    status = error.status_code
    if any(fragment in text for fragment in _DISK_FULL):
        return DiskFullError(message)
    if status in {502, 503, 504} or any(fragment in text for fragment in _SHUTTING_DOWN):
        return EngineUnavailableError(message)
    if isinstance(error, ImageNotFound):
        return ImageMissingError(message)
    if status == 404:
        return NetworkMissingError(message) if _NETWORK_GONE.search(text) else ContainerNotFoundError(message)
    if status == 400:
        return InvalidSpecError(message)
    return EngineError(message)


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_REASON_CHARS else line[: MAX_REASON_CHARS - 1] + "…"


def _cause(error: BaseException) -> str:
    """The operating system's message below the wrappers of requests and urllib3."""
    seen: BaseException | None = error
    words = "the connection broke"
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            words = seen.strerror.lower()
        seen = seen.__cause__ or seen.__context__
    return words
