"""Accounts: the phones that bots are linked to, their profiles and failures."""

from __future__ import annotations

from fastapi import APIRouter

from whatsapp_simulator.control import views
from whatsapp_simulator.control.lookup import Lookup
from whatsapp_simulator.control.models import (
    Account,
    Accounts,
    EnterCode,
    FailureState,
    NewFailure,
    NewPerson,
    Problem,
    Profile,
    ProfileChange,
    Scan,
)
from whatsapp_simulator.phones import profiles
from whatsapp_simulator.simulator import Simulator
from whatsapp_simulator.world.world import normalize_phone

_KINDS = """\
The failure stays active for `seconds` or for `count` affected connections, whichever ends first. Without either, it
stays active until it is cleared (`drop` and `replaced` happen once). A new failure replaces the previous one.

- `drop`: the TCP connection breaks
- `refuse`: the same, and new connections are refused
- `unavailable`: connections and new logins end with 503
- `replaced`: another client has taken over the session
- `logged-out`: the phone's owner has removed the linked devices; link them again to use the account
- `banned`, `outdated`: connections break, and every login is refused with 402 (temporary ban) or 405 (client outdated)
- `deaf`: connections stay open, but nothing is answered or sent
- `slow`: every stanza to the client is delayed by `delaySeconds`
"""


def router(simulator: Simulator) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["accounts"], responses={422: {"model": Problem}, 404: {"model": Problem}})
    network, pairing = simulator.network, simulator.pairing
    lookup = Lookup(network)
    find = lookup.account

    @routes.post("/accounts")
    async def create_account(body: NewPerson) -> Account:
        """Create a simulated phone, or return the existing one."""
        return views.account(network, network.world.account(normalize_phone(body.phone), body.name))

    @routes.get("/accounts")
    async def list_accounts() -> Accounts:
        """List all accounts."""
        return Accounts(items=[views.account(network, person) for person in network.world if person.account])

    @routes.get("/accounts/{phone}")
    async def get_account(phone: str) -> Account:
        """Get one account."""
        return views.account(network, find(phone))

    @routes.get("/people/{phone}/profile", tags=["profiles"])
    async def get_profile(phone: str) -> Profile:
        """Get the profile of an account or contact: what others see, whether it is online, and its settings."""
        return views.profile(lookup.person(phone))

    @routes.patch("/people/{phone}/profile", tags=["profiles"])
    async def change_profile(phone: str, body: ProfileChange) -> Profile:
        """Change the profile of an account or contact."""
        person = lookup.person(phone)
        person.name = body.name or person.name
        if body.about is not None:
            person.profile.about = body.about
        if body.profile_picture is not None:
            profiles.set_picture(network, person, body.profile_picture)
        network.world.touch(person)
        return views.profile(person)

    @routes.post("/accounts/{phone}/scan", responses={status: {"model": Problem} for status in (410, 502, 504)})
    async def scan(phone: str, body: Scan) -> Account:
        """Scan a QR code with the phone. Responds once the device is linked; creates the account if necessary."""
        return views.account(network, await pairing.scan(normalize_phone(phone), body.qr))

    @routes.post("/accounts/{phone}/enter-code", responses={status: {"model": Problem} for status in (409, 410, 504)})
    async def enter_code(phone: str, body: EnterCode) -> Account:
        """Enter the code that a device shows on the phone. Responds once the device is linked."""
        return views.account(network, await pairing.enter_code(normalize_phone(phone), body.code))

    @routes.post("/accounts/{phone}/failures", description=_KINDS)
    async def inject_failure(phone: str, body: NewFailure) -> Account:
        person = find(phone)
        _inject(person.phone, body)
        return views.account(network, person)

    @routes.delete("/accounts/{phone}/failures")
    async def clear_failure(phone: str) -> Account:
        """Clear the account's failure."""
        person = find(phone)
        simulator.clear_failure(person.phone)
        return views.account(network, person)

    @routes.post("/failures", tags=["simulator"], description="For all clients, linked or not.\n\n" + _KINDS)
    async def inject_global_failure(body: NewFailure) -> FailureState | None:
        _inject(None, body)
        return views.failure(network.failures.get(None))

    @routes.delete("/failures", tags=["simulator"])
    async def clear_global_failure() -> FailureState | None:
        """Clear the failure for all clients; failures of single accounts stay active."""
        simulator.clear_failure(None)
        return None

    def _inject(phone: str | None, body: NewFailure) -> None:
        simulator.inject_failure(
            phone, body.kind, seconds=body.seconds, count=body.count, delay_seconds=body.delay_seconds
        )

    return routes
