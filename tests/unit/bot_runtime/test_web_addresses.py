"""Which addresses webhooks and language models may be on."""

import pytest

from bot_runtime.web.addresses import AllowedHosts

EVERYTHING = AllowedHosts(["0.0.0.0/0", "::/0", "host.example"])


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1111",
        "::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::808:808",
    ],
)  # fmt: skip
def test_public_addresses_are_allowed(address: str) -> None:
    assert AllowedHosts().permits("host.example", address)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.5", "10.213.0.1", "172.16.0.1", "172.17.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1",
        "100.127.255.255", "192.0.0.1", "198.18.0.1", "192.0.2.1", "fc00::1", "fd00::5", "fd12:3456::1", "fec0::1",
        "64:ff9b:1::a00:5", "2001:db8::1", "2001::1", "::ffff:10.0.0.5", "::ffff:0a00:5", "::10.0.0.5",
        "2002:a00:5::1", "64:ff9b::10.0.0.5", "64:ff9b::c0a8:1", "::ffff:100.64.0.1",
    ],
)  # fmt: skip
def test_private_addresses_are_allowed_only_as_far_as_an_admin_lists_them(address: str) -> None:
    assert not AllowedHosts().permits("host.example", address)
    assert not AllowedHosts(["other.example", "10.9.0.0/16", "fd99::/16"]).permits("host.example", address)
    assert AllowedHosts(["Host.Example."]).permits("host.example", address)
    assert EVERYTHING.permits("elsewhere.example", address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.0.0.11", "127.8.8.8", "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.170.2", "224.0.0.1",
        "239.1.1.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fe80::a9fe:a9fe", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "100.100.100.200", "::ffff:100.100.100.200", "64:ff9b::6464:64c8",
        "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
    ],
)  # fmt: skip
def test_the_container_itself_its_link_and_metadata_services_are_never_allowed(address: str) -> None:
    assert not AllowedHosts().permits("host.example", address)
    assert not EVERYTHING.permits("host.example", address)


def test_an_address_can_be_listed_without_a_prefix_length() -> None:
    allowed = AllowedHosts(["10.0.0.5", "fd00::5"])
    assert allowed.permits("n8n", "10.0.0.5")
    assert allowed.permits("n8n", "fd00::5")
    assert not allowed.permits("n8n", "10.0.0.6")


def test_a_name_is_compared_as_a_whole() -> None:
    allowed = AllowedHosts(["n8n.internal"])
    for host in ("n8n.internal.example", "evil-n8n.internal", "internal"):
        assert not allowed.permits(host, "10.0.0.5")
