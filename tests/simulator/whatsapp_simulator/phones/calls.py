"""Calls: they ring and end; there is no audio or video."""

from __future__ import annotations

from whatsapp_simulator.network import Network
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.world.model import MAX_MESSAGES, Call, Person

RINGING, REJECTED, ENDED = "ringing", "rejected", "ended"


def start(network: Network, caller: Person, to: Person, *, video: bool) -> Call:
    """Start a call to an account."""
    call = Call(network.world.random(16).hex().upper(), to.phone, video, RINGING, network.world.now())
    caller.calls[call.id] = call
    while len(caller.calls) > MAX_MESSAGES:
        del caller.calls[next(iter(caller.calls))]
    network.world.touch(caller)
    media = [Node("audio", {"enc": "opus", "rate": "16000"}), *([Node("video", {"enc": "vp8"})] if video else [])]
    _deliver(network, caller, call, Node("offer", _call(caller, call) | {"caller_pn": caller.phone_jid()}, media))
    return call


def end(network: Network, caller: Person, call: Call) -> None:
    """End a call as its caller."""
    if call.state == RINGING:
        change(network, caller, call, ENDED)
    _deliver(network, caller, call, Node("terminate", _call(caller, call) | {"reason": "timeout"}))


def change(network: Network, caller: Person, call: Call, state: str) -> None:
    """Change the state of a call."""
    call.state = state
    network.world.touch(caller)
    network.notifier.notify(caller.phone)


def _call(caller: Person, call: Call) -> Attrs:
    return {"call-id": call.id, "call-creator": caller.lid_jid()}


def _deliver(network: Network, caller: Person, call: Call, child: Node) -> None:
    to = network.world.get(call.to)
    if to is None:
        return
    for device in list(to.devices.values()):
        attrs: Attrs = {
            "id": network.world.message_id(),
            "from": caller.lid_jid(),
            "t": str(network.world.now()),
            "platform": "android",
            "version": "2.26.1",
            "notify": caller.name,
        }
        network.deliver(to, device, Node("call", attrs, [child]))
