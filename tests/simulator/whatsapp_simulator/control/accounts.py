"""Accounts: the phones that bots are linked to, and what goes wrong with them."""

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
The failure stays in force for `seconds` and for `count` connections hit, whichever ends first; without both until it
is cleared (`drop`, `replaced`: once). A new one takes the place of the one before.

- `drop`: the TCP connection breaks
- `refuse`: the same, and nobody gets in again
- `unavailable`: connections end with 503, and so does every attempt
- `replaced`: another client took over
- `logged-out`: the phone's owner removed the linked devices; to use the account again, link it again
- `banned`, `outdated`: connections end, and every login is refused with 402 (temporary ban) or 405 (client outdated)
- `deaf`: connected, but nothing is answered or sent
- `slow`: everything is held back by `delaySeconds`
"""


def router(simulator: Simulator) -> APIRouter:
    """The calls."""
    routes = APIRouter(tags=["accounts"], responses={422: {"model": Problem}, 404: {"model": Problem}})
    network, pairing = simulator.network, simulator.pairing
    lookup = Lookup(network)
    find = lookup.account

    @routes.post("/accounts")
    async def create_account(body: NewPerson) -> Account:
        """Create a simulated phone, or get the one that is there."""
        return views.account(network, network.world.account(normalize_phone(body.phone), body.name))

    @routes.get("/accounts")
    async def list_accounts() -> Accounts:
        """All accounts."""
        return Accounts(items=[views.account(network, person) for person in network.world if person.account])

    @routes.get("/accounts/{phone}")
    async def get_account(phone: str) -> Account:
        """One account."""
        return views.account(network, find(phone))

    @routes.get("/people/{phone}/profile", tags=["profiles"])
    async def get_profile(phone: str) -> Profile:
        """What others see of an account or a contact, whether it is online, and what it has set."""
        return views.profile(lookup.person(phone))

    @routes.patch("/people/{phone}/profile", tags=["profiles"])
    async def change_profile(phone: str, body: ProfileChange) -> Profile:
        """Change what others see of somebody."""
        person = lookup.person(phone)
        person.name = body.name or person.name
        if body.about is not None:
            person.profile.about = body.about
        if body.picture is not None:
            profiles.set_picture(network, person, body.picture)
        network.world.touch(person)
        return views.profile(person)

    @routes.post("/accounts/{phone}/scan", responses={status: {"model": Problem} for status in (410, 502, 504)})
    async def scan(phone: str, body: Scan) -> Account:
        """The phone scans a QR code; answers when the device is linked. The account is made if it is missing."""
        return views.account(network, await pairing.scan(normalize_phone(phone), body.qr))

    @routes.post("/accounts/{phone}/enter-code", responses={status: {"model": Problem} for status in (409, 410, 504)})
    async def enter_code(phone: str, body: EnterCode) -> Account:
        """The phone's owner types the code that a device shows; answers when the device is linked."""
        return views.account(network, await pairing.enter_code(normalize_phone(phone), body.code))

    @routes.post("/accounts/{phone}/failures", description=_KINDS)
    async def fail(phone: str, body: NewFailure) -> Account:
        person = find(phone)
        _fail(person.phone, body)
        return views.account(network, person)

    @routes.delete("/accounts/{phone}/failures")
    async def heal(phone: str) -> Account:
        """End the account's failure."""
        person = find(phone)
        simulator.heal(person.phone)
        return views.account(network, person)

    @routes.post("/failures", tags=["simulator"], description="For everybody, unlinked clients too.\n\n" + _KINDS)
    async def fail_everybody(body: NewFailure) -> FailureState | None:
        _fail(None, body)
        return views.failure(network.failures.own(None))

    @routes.delete("/failures", tags=["simulator"])
    async def heal_everybody() -> FailureState | None:
        """End the failure for everybody; those of single accounts stay."""
        simulator.heal(None)
        return None

    def _fail(phone: str | None, body: NewFailure) -> None:
        simulator.fail(phone, body.kind, seconds=body.seconds, count=body.count, delay=body.delay_seconds)

    return routes
