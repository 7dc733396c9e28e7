"""The baseline of probing: one httpx client per bot, `GET /health` at each interval, and nothing else.

The first line of standard input is `{interval, targets: [[address, token]]}`; every further line is answered with the
number of probes so far.
"""

import asyncio
import json
import random
import ssl
import sys

import httpx

from bot_runtime.contract import PORT

sent = 0


async def probe(address: str, token: str, interval: float, tls: ssl.SSLContext) -> None:
    """Probe one bot forever; the client is configured like the controller's."""
    global sent
    limits = httpx.Limits(max_connections=3, max_keepalive_connections=2, keepalive_expiry=90)
    async with httpx.AsyncClient(
        base_url=f"http://{address}:{PORT}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=5,
        limits=limits,
        verify=tls,
        trust_env=False,
    ) as client:
        await asyncio.sleep(interval * random.random())
        while True:
            (await client.get("/health")).raise_for_status()
            sent += 1
            await asyncio.sleep(interval)


async def main() -> None:
    """Probe until standard input ends."""
    orders = json.loads(sys.stdin.readline())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with asyncio.TaskGroup() as tasks:
        probes = [
            tasks.create_task(probe(address, token, orders["interval"], tls)) for address, token in orders["targets"]
        ]
        while await asyncio.to_thread(sys.stdin.readline):
            print(sent, flush=True)
        for task in probes:
            task.cancel()


asyncio.run(main())
