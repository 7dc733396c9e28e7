"""Which addresses a bot may call when people who are not admins choose the URL. Pure.

Public addresses are allowed. Private ones are allowed as far as an admin lists them. The container itself, its link and
the metadata services of clouds are never allowed.
"""

import ipaddress
from collections.abc import Iterable

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(text: str) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in text.split())


_NEVER = _networks(
    "0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 224.0.0.0/4 240.0.0.0/4 ::/128 ::1/128 fe80::/10 ff00::/8"
    # Metadata services that are not link-local: Alibaba, Azure, Oracle, AWS, Google.
    " 100.100.100.200/32 168.63.129.16/32 192.0.0.192/32 fd00:ec2::/32 fd20:ce::254/128"
)
_PRIVATE = _networks(
    "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 192.0.0.0/24 198.18.0.0/15 fc00::/7 fec0::/10 64:ff9b:1::/48"
    " 2001::/32"
)
"""Listed because not every version of `ipaddress` counts all of them as private."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_IPV4_MASK = 0xFFFFFFFF


class AllowedHosts:
    """Host names and networks (CIDR, or a single address) on private networks that may be called."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._names: set[str] = set()
        self._networks: list[_Network] = []
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._names.add(_canonical(entry))

    def permits(self, host: str, address: str) -> bool:
        """Whether `address`, to which `host` resolves, may be called."""
        ip = effective(address)
        if _is_in(ip, _NEVER):
            return False
        if ip.is_global and not _is_in(ip, _PRIVATE):
            return True
        return _canonical(host) in self._names or _is_in(ip, self._networks)


def effective(address: str) -> IpAddress:
    """The address that is reached in the end: the IPv4 address in mapped, compatible, 6to4 and NAT64 forms of IPv6."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    embedded = ip.ipv4_mapped or ip.sixtofour
    if embedded is None and (ip in _NAT64 or (ip in _COMPATIBLE and int(ip) > 1)):
        embedded = ipaddress.IPv4Address(int(ip) & _IPV4_MASK)
    return embedded or ip


def _canonical(host: str) -> str:
    return host.lower().rstrip(".")


def _is_in(ip: IpAddress, networks: Iterable[_Network]) -> bool:
    return any(ip in network for network in networks)
