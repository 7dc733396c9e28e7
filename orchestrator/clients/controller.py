"""A client of the leader's HTTP port, for what only the process with access to the engine can answer.

    GET http://{controller}/internal/bots/{id}/logs?tail=N    {"lines": ["…"]}    oldest first

The bearer token is the bot's runtime token: both sides read it from Postgres.
"""

import httpx
import msgspec

from orchestrator.errors import UnavailableError

TIMEOUT_SECONDS = 10.0
MAX_TAIL = 1000


class LogLines(msgspec.Struct, frozen=True):
    """The last lines of a bot container's output, oldest first."""

    lines: list[str]


class ControllerClient:
    """Calls controllers of any server."""

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, verify=False, trust_env=False)  # noqa: S501 - no TLS

    async def logs(self, *, address: str, bot_id: str, token: str, tail: int) -> list[str]:
        """The last lines of a bot's container.

        `address` is the controller's `host:port`. Raises UnavailableError when it does not respond with log lines.
        """
        try:
            response = await self._http.get(
                f"http://{address}/internal/bots/{bot_id}/logs",
                params={"tail": tail},
                headers={"Authorization": f"Bearer {token}"},
            )
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=LogLines).lines
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError) as exc:
            raise UnavailableError(
                f"the controller did not return the logs ({type(exc).__name__}): retry later",
                code="controller-unreachable",
            ) from exc

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
