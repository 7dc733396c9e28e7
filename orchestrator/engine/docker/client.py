"""Calls Docker from asyncio: in threads, each with one client and one keep-alive connection.

docker-py blocks, and its client must not be shared between threads. A client is created once per thread, and the API
version is negotiated once per engine, so that a call costs exactly one HTTP exchange. `slots.py` decides which calls
may be made now.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from docker import APIClient
from docker.errors import DockerException
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from orchestrator.engine.base import ContainerStuckError, EngineError, EngineUnavailableError, WrongEngineError
from orchestrator.engine.docker.errors import CallTimeoutError, is_timeout, translate
from orchestrator.engine.docker.slots import ATTEMPT_SECONDS, ATTEMPTS, MAX_HELD_UP, CallSlots, StuckContainers
from orchestrator.engine.docker.transport import NetworkConnection, OneConnection, engine_id

T = TypeVar("T")

CALL_TIMEOUT_SECONDS = 60.0
"""Creating and starting under load takes seconds; an engine that takes longer counts as unavailable."""
HELLO_TIMEOUT_SECONDS = 5.0
"""Negotiating the version is trivial for an engine: one that takes longer hangs."""
NEWEST_API = (1, 45)
"""The tested version. Newer engines still support it, unless their minimum version is higher."""
OLDEST_API = (1, 41)

# Reads only: whether a write took effect although its answer was lost is for the reconciler to find out.
_read_retries = Retrying(
    retry=retry_if_exception(lambda exc: isinstance(exc, requests.ConnectionError) and not is_timeout(exc)),
    stop=stop_after_attempt(3),
    wait=wait_fixed(0.05),
    reraise=True,
)


def _allow() -> None:
    """The check of a client that nobody has set one for."""


def _accept(_connection: socket.socket) -> None:
    """For connections to whatever engine answers."""


class CheckedClient(APIClient):
    """Calls `check` immediately before every request that changes something, also inside a call of several requests."""

    check: Callable[[], None] = staticmethod(_allow)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Every request is sent by this method. Raises what requests and `check` raise."""
        if request.method not in {"GET", "HEAD"}:
            self.check()
        return super().send(request, **options)


class DockerClients:
    """Runs blocking calls in threads and translates their exceptions into EngineErrors."""

    def __init__(self, *, host: str, workers: int, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> None:
        self.host = host
        self._timeout_seconds = timeout_seconds
        self._slots = CallSlots(workers)
        self._stuck = StuckContainers()
        # One more, for `identity`.
        self._executor = ThreadPoolExecutor(workers + MAX_HELD_UP + ATTEMPTS + 1, thread_name_prefix="docker")
        self._thread = threading.local()
        self._lock = threading.Lock()
        self._api_version: str | None = None
        self._clients: list[CheckedClient] = []
        self._closed = False
        self.bound_to: str | None = None
        """The id of the only engine that may answer; None: any."""
        self.check: Callable[[], None] = _allow
        """Called in the thread, immediately before every request that changes something.

        A call keeps the check it began with: one that a former leadership began is not allowed by the next one.
        """

    async def run(
        self, action: str, call: Callable[[APIClient], T], *, read: bool = False, about: str | None = None
    ) -> T:
        """Run `call` in a thread, with that thread's client; `action` completes "cannot …" in errors.

        A `read` is retried on a broken connection. `about` is the container or volume that the call may have to wait
        for. Raises EngineError and its subclasses, and what `check` raises.
        """
        self._raise_if_closed(action)
        is_stuck = about in self._stuck
        try:
            if about is not None and is_stuck:
                with self._stuck.attempt(about, action):
                    result = await asyncio.wrap_future(
                        self._executor.submit(self._call, action, call, read, self.check, ATTEMPT_SECONDS)
                    )
            else:
                result = await self._run_in_slot(action, call, read)
        except CallTimeoutError as exc:
            if self._stuck.timed_out(about, seconds=ATTEMPT_SECONDS if is_stuck else self._timeout_seconds):
                raise ContainerStuckError(f"cannot {action}: the engine does not answer calls about it") from exc
            raise
        except EngineError as exc:
            if not isinstance(exc, EngineUnavailableError | ContainerStuckError):
                self._stuck.answered(about)
            raise
        self._stuck.answered(about)
        return result

    async def _run_in_slot(self, action: str, call: Callable[[APIClient], T], read: bool) -> T:
        check = self.check
        await self._slots.take()
        try:
            self._raise_if_closed(action)
            running = self._executor.submit(self._call, action, call, read, check, self._timeout_seconds)
        except BaseException:
            self._slots.give_back()
            raise
        self._slots.give_back_after(running)
        return await asyncio.wrap_future(running)

    async def identity(self) -> str:
        """The id of the engine that answers, whichever is bound. Raises EngineError, also if it reports none."""

        def call() -> str:
            try:
                client = self._make_client(self._negotiated_version(), HELLO_TIMEOUT_SECONDS, bound=False)
                try:
                    return str(client.info().get("ID") or "")
                finally:
                    client.close()
            except (DockerException, requests.RequestException, OSError) as exc:
                raise translate(exc, action="read the engine's id", host=self.host) from None

        self._raise_if_closed("read the engine's id")
        found = await asyncio.get_running_loop().run_in_executor(self._executor, call)
        if not found:
            raise EngineError(f"the Docker engine at {self.host} reports no id (see `docker info`)")
        return found

    def new_client(self) -> APIClient:
        """A separate client, which the caller closes. Blocks; raises what docker-py and requests raise."""
        return self._make_client(self._negotiated_version(), self._timeout_seconds)

    async def close(self) -> None:
        """Wait for running calls and close every connection. Calls still waiting for a thread fail."""
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)
        for client in self._clients:
            client.close()

    def _raise_if_closed(self, action: str) -> None:
        if self._closed:
            raise EngineUnavailableError(f"cannot {action}: the connection to the engine is closed")

    def _call(
        self,
        action: str,
        call: Callable[[APIClient], T],
        read: bool,
        check: Callable[[], None],
        timeout_seconds: float,
    ) -> T:
        self._raise_if_closed(action)
        try:
            if not read:
                client = self._client(timeout_seconds)
                client.check = check
                return call(client)
            return _read_retries.copy()(lambda: call(self._client(timeout_seconds)))
        except (DockerException, requests.RequestException, OSError) as exc:
            error = translate(exc, action=action, host=self.host)
            raise CallTimeoutError(str(error)) if is_timeout(exc) else error from None

    def _client(self, timeout_seconds: float) -> CheckedClient:
        client: CheckedClient | None = getattr(self._thread, "client", None)
        if client is None:
            client = self._thread.client = self._make_client(self._negotiated_version(), timeout_seconds)
            self._clients.append(client)
        client.timeout = timeout_seconds  # type: ignore[assignment]
        return client

    def _negotiated_version(self) -> str:
        with self._lock:
            if self._api_version is None:
                client = self._make_client(_text(OLDEST_API), HELLO_TIMEOUT_SECONDS, bound=False)
                try:
                    answer = client.version(api_version=False)
                finally:
                    client.close()
                self._api_version = negotiate(newest=answer["ApiVersion"], oldest=answer.get("MinAPIVersion", "1.24"))
            return self._api_version

    def _make_client(self, version: str, timeout_seconds: float, *, bound: bool = True) -> CheckedClient:
        # The stubs accept whole seconds only.
        client = CheckedClient(base_url=self.host, version=version, timeout=timeout_seconds)  # type: ignore[arg-type]
        client.trust_env = False  # no proxy, no .netrc
        on_connect = self._verify if bound else _accept
        if urlsplit(self.host).scheme == "unix":
            client.mount("http+docker://", OneConnection(urlsplit(self.host).path, on_connect))
        else:
            for scheme in ("http://", "https://"):
                client.mount(scheme, NetworkConnection(on_connect))
        return client

    def _verify(self, connection: socket.socket) -> None:
        if self.bound_to is not None and (found := engine_id(connection)) != self.bound_to:
            raise WrongEngineError(f"engine {found or 'without an id'} answers at {self.host}, not {self.bound_to}")


def negotiate(*, newest: str, oldest: str) -> str:
    """The API version to use with an engine that supports `oldest` to `newest`.

    Raises DockerException if the engine is too old.
    """
    if _numbers(newest) < OLDEST_API:
        raise DockerException(
            f"the engine supports Docker API {newest} at most; {_text(OLDEST_API)} (Docker 20.10) or newer is required"
        )
    return _text(max(min(NEWEST_API, _numbers(newest)), _numbers(oldest)))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
