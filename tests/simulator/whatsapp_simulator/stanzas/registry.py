"""The registry of stanza handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from whatsapp_simulator.network import Network
from whatsapp_simulator.pairing import Pairing
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import SERVER
from whatsapp_simulator.server.link import Link
from whatsapp_simulator.world.model import Device, Person

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Context:
    """A stanza and its origin."""

    network: Network
    pairing: Pairing
    link: Link
    node: Node

    @property
    def owner(self) -> tuple[Person, Device]:
        """The person and device that sent the stanza; IqError for a client that is not logged in."""
        if self.link.person is None or self.link.device is None:
            raise IqError(401, "not-authorized")
        return self.link.person, self.link.device


class IqError(Exception):
    """Respond to an iq with this error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


Handler = Callable[[Context], None]
#: Returns the content of the result.
IqHandler = Callable[[Context], list[Node]]

_handlers: dict[str, Handler] = {}
_iq_handlers: dict[tuple[str, str], IqHandler] = {}


def on(*tags: str) -> Callable[[Handler], Handler]:
    """Register a handler for stanzas with these tags."""

    def register(handler: Handler) -> Handler:
        for tag in tags:
            _handlers[tag] = handler
        return handler

    return register


def on_iq(namespace: str, kind: str) -> Callable[[IqHandler], IqHandler]:
    """Register a handler for iqs of a namespace and type ("get" or "set"); it returns the content of the result."""

    def register(handler: IqHandler) -> IqHandler:
        _iq_handlers[namespace, kind] = handler
        return handler

    return register


def dispatch(network: Network, pairing: Pairing, link: Link, node: Node) -> None:
    """Handle one stanza from a client."""
    context = Context(network, pairing, link, node)
    if node.tag == "iq":
        _iq(context)
    elif handler := _handlers.get(node.tag):
        try:
            handler(context)
        except IqError as exc:
            logger.warning("%s sent <%s>: %s", link.label, node.tag, exc)
    else:
        logger.warning("%s sent an unsupported stanza: <%s>", link.label, node.tag)


def _iq(context: Context) -> None:
    node, link = context.node, context.link
    kind = node.get("type")
    if kind in ("result", "error"):
        answer: asyncio.Future[Node] | None = link.answers.get(node.get("id"))
        if answer is not None and not answer.done():
            answer.set_result(node)
        return
    attrs: Attrs = {"from": node.jid("to") or SERVER, "id": node.get("id")}
    try:
        handler = _iq_handlers.get((node.get("xmlns"), kind))
        if handler is None:
            logger.warning("%s sent an unsupported iq: %s %s", link.label, kind, node.get("xmlns"))
            raise IqError(501, "feature-not-implemented")
        content = handler(context)
    except IqError as exc:
        refusal = Node("error", {"code": str(exc.code), "text": exc.text})
        link.send(Node("iq", {**attrs, "type": "error"}, [refusal]))
        return
    link.send(Node("iq", {**attrs, "type": "result"}, content or None))
