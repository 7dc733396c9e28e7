"""Docker's answers become the errors of the engine, each in one sentence."""

import pytest
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from orchestrator.engine.base import (
    ContainerNotFoundError,
    DiskFullError,
    EngineError,
    EngineUnavailableError,
    ImageMissingError,
    InvalidSpecError,
    NetworkMissingError,
)
from orchestrator.engine.docker.errors import MAX_REASON_CHARS, translate


def answer(status: int, explanation: str, kind: type[APIError] = APIError) -> APIError:
    response = requests.Response()
    response.status_code = status
    return kind("irrelevant", response=response, explanation=explanation)


def translated(error: Exception) -> EngineError:
    return translate(error, action="start container x", host="unix:///run/docker.sock")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answer(404, "No such container: x"), ContainerNotFoundError),
        (answer(404, "No such image: bot:1", ImageNotFound), ImageMissingError),
        (answer(404, "network botdock-s not found"), NetworkMissingError),
        (answer(404, "failed to set up container networking: network botdock-s not found"), NetworkMissingError),
        (answer(400, "Minimum memory limit allowed is 6MB"), InvalidSpecError),
        (answer(500, "mkdir /var/lib/docker/x: no space left on device"), DiskFullError),
        (answer(400, "write /x: No space left on device"), DiskFullError),
        (answer(500, "write: disk quota exceeded"), DiskFullError),
        (answer(503, "try later"), EngineUnavailableError),
        (answer(500, "grpc: the client connection is closing: unknown"), EngineUnavailableError),
        (answer(500, "context canceled"), EngineUnavailableError),
        (answer(500, "something broke"), EngineError),
        (answer(409, "volume is in use"), EngineError),
        (requests.ReadTimeout("x"), EngineUnavailableError),
        (requests.ConnectTimeout("x"), EngineUnavailableError),
        (requests.ConnectionError("x"), EngineUnavailableError),
        (requests.exceptions.ChunkedEncodingError("x"), EngineUnavailableError),
        (BrokenPipeError(32, "Broken pipe"), EngineUnavailableError),
        (DockerException("odd"), EngineError),
    ],
)
def test_each_failure_has_its_class(error: Exception, kind: type[EngineError]) -> None:
    assert type(translated(error)) is kind


def test_the_message_states_what_failed_and_why() -> None:
    assert str(translated(answer(404, "No such container: x"))) == "cannot start container x: No such container: x"


def test_a_broken_connection_is_reported_with_the_systems_message() -> None:
    wrapped = requests.ConnectionError("HTTPConnectionPool(host=…): Max retries exceeded")
    wrapped.__context__ = PermissionError(13, "Permission denied")
    expected = (
        "cannot start container x: the Docker engine at unix:///run/docker.sock is unavailable (permission denied)"
    )
    assert str(translated(wrapped)) == expected


def test_long_and_broken_explanations_become_one_short_line() -> None:
    message = str(translated(answer(500, "first\n\tsecond " + "x" * 1000)))
    assert message.startswith("cannot start container x: first second xxx")
    assert "\n" not in message
    assert len(message) == len("cannot start container x: ") + MAX_REASON_CHARS


def test_an_empty_error_response_still_gives_a_message() -> None:
    assert str(translated(answer(500, ""))) == "cannot start container x: the engine responded with status 500"
