"""The bridge network of a server's bots, and the stack's own containers in it. Blocking; run in a worker thread.

Subnets are chosen here because Docker's own pools are exhausted after about 31 networks. Another process may take the
same subnet or create the same network between the check and the call, so each refusal is followed by another check.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

from docker import APIClient
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from orchestrator.engine.base import COMPONENTS, EngineError, Label, NameTakenError

SUBNET_PREFIX = 22
"""1,022 addresses; a Linux bridge takes 1,023 ports."""
_NETWORKLESS = ("host", "none", "container:")


def ensure_network(client: APIClient, name: str, *, pool: IPv4Network, owner: str, server: str) -> None:
    """Create the network unless it exists.

    Raises NameTakenError if a network of that name is not ours, EngineError if the pool has no free subnet.
    """
    labels = {Label.OWNER: owner, Label.SERVER: server}
    refused: set[IPv4Network] = set()
    while True:
        present = _find(client, name)
        if present is not None:
            if {key: (present["Labels"] or {}).get(key) for key in labels} != labels:
                raise NameTakenError(
                    f"the network {name} exists and does not belong to this server of this installation"
                )
            return
        subnet = free_subnet(pool, _subnets_in_use(client) | refused)
        if subnet is None:
            raise EngineError(
                f"cannot create network {name}: no free subnet in {pool}; set BOT_NETWORK_POOL to a larger one"
            )
        try:
            client.create_network(
                name,
                driver="bridge",
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))]),
                check_duplicate=True,
                labels={str(key): value for key, value in labels.items()},
            )
        except APIError as exc:
            reason = str(exc.explanation).lower()
            if "overlap" in reason:
                refused.add(subnet)
            elif "already exists" not in reason:
                raise


def attach_components(client: APIClient, network: str, *, owner: str, stack: Mapping[str, str]) -> None:
    """Attach the running containers of the stack to the network, each under its component's name.

    `stack` holds labels that those containers carry besides `botdock.component`.
    """
    labels = [Label.COMPONENT, *(f"{key}={value}" for key, value in stack.items())]
    for item in client.containers(filters={"label": labels}):
        component = item["Labels"][Label.COMPONENT]
        if component not in COMPONENTS or item["Labels"].get(Label.OWNER, owner) != owner:
            continue
        mode = item["HostConfig"]["NetworkMode"]
        if network in item["NetworkSettings"]["Networks"] or mode.startswith(_NETWORKLESS):
            continue
        try:
            client.connect_container_to_network(item["Id"], network, aliases=[component])
        except NotFound:
            if _find(client, network) is None:
                raise
        except APIError as exc:
            if "already exists" not in str(exc.explanation).lower():
                raise


def free_subnet(pool: IPv4Network, taken: Iterable[IPv4Network]) -> IPv4Network | None:
    """The first subnet of the pool that overlaps none of those taken."""
    taken = [other for other in taken if other.overlaps(pool)]
    candidates = pool.subnets(new_prefix=max(SUBNET_PREFIX, pool.prefixlen))
    return next((subnet for subnet in candidates if not any(subnet.overlaps(other) for other in taken)), None)


def _find(client: APIClient, name: str) -> dict[str, Any] | None:
    # By exact name: `inspect_network` also matches prefixes of ids.
    found = [item for item in client.networks(names=[name]) if item["Name"] == name]
    return found[0] if found else None


def _subnets_in_use(client: APIClient) -> set[IPv4Network]:
    configs = [config for item in client.networks() for config in item["IPAM"]["Config"] or []]
    subnets = [config["Subnet"] for config in configs if config.get("Subnet")]
    return {IPv4Network(subnet, strict=False) for subnet in subnets if ":" not in subnet}
