"""Cuts what runs on this machine off from the bots."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bot_runtime.contract import PORT


@contextmanager
def cut(subnet: str, *target: str) -> Iterator[None]:
    """Reject or drop what this machine sends to the bots' endpoints in one network. `target`: iptables' action."""
    rule = ["OUTPUT", "--destination", subnet, "--protocol", "tcp", "--dport", str(PORT), "--jump", *target]
    subprocess.run(["iptables", "--wait", "--insert", *rule], check=True)
    try:
        yield
    finally:
        subprocess.run(["iptables", "--wait", "--delete", *rule], check=True)
