"""Answers by a language model, through any endpoint that implements OpenAI's chat completions.

The API key is only held in memory, and never written: not to the volume, a log, an event or an error. It is only sent
to the base URL that it was configured with, never to another one that somebody has set for a bot. Such a URL is treated
like a webhook's: `web/addresses.py` decides whether it may be called.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from bot_runtime.commands.runner import CHATS, split
from bot_runtime.contract import ChatGpt, RuntimeConfig, Secrets
from bot_runtime.hooks.answer_gate import PAUSED, AnswerGate
from bot_runtime.web.threads import WebThreads
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Incoming, Kind

log = logging.getLogger(__name__)

CHATS_REMEMBERED = 200
MAX_ANSWER_BYTES = 1 << 20
MAX_PROMPT_CHARACTERS = 8000
FAILED = "Sorry, I cannot answer right now. Please try again later."
TIMED_OUT = "Sorry, that took too long. Please try again later."
_NOTHING_TO_ANSWER = frozenset({"", FAILED, TIMED_OUT, PAUSED})
"""An empty message, and what other bots say instead of an answer."""


class _Said(msgspec.Struct):
    content: str | None = None


class _CompletionChoice(msgspec.Struct):
    message: _Said


class _Completion(msgspec.Struct):
    choices: list[_CompletionChoice]


class Conversations:
    """The last messages of each chat, for the most recently active chats."""

    def __init__(self, *, chats: int = CHATS_REMEMBERED) -> None:
        self._max_chats = chats
        self._chats: OrderedDict[str, deque[dict[str, str]]] = OrderedDict()

    def of(self, chat: str, limit: int) -> list[dict[str, str]]:
        """The last `limit` messages of a chat, oldest first."""
        said = self._chats.get(chat, deque())
        return list(said)[-limit:] if limit else []

    def add(self, chat: str, *said: dict[str, str], limit: int) -> None:
        """Add messages to a chat, of which the last `limit` are stored."""
        if not limit:
            self._chats.pop(chat, None)
            return
        self._chats[chat] = deque((*self._chats.get(chat, ()), *said), maxlen=limit)
        self._chats.move_to_end(chat)
        if len(self._chats) > self._max_chats:
            self._chats.popitem(last=False)


class LanguageModel:
    """Answers texts in private chats, and in groups when the account is mentioned or quoted."""

    name = "chatgpt"

    def __init__(
        self,
        settings: Callable[[], RuntimeConfig],
        reply: Callable[[Address, str], Awaitable[object]],
        show_typing: Callable[[Address, bool], Awaitable[None]],
        mentioned: Callable[[Incoming], bool],
        web: WebThreads,
        gate: AnswerGate,
    ) -> None:
        self._settings = settings
        self._reply = reply
        self._show_typing = show_typing
        self._mentioned = mentioned
        self._web = web
        self._gate = gate
        self._secrets = Secrets()
        self._conversations = Conversations()

    def use_secrets(self, secrets: Secrets) -> None:
        """Use this key from now on, only for its own base URL."""
        self._secrets = secrets

    def wants(self, message: Incoming, *, fresh: bool) -> bool:
        settings = self._settings()
        if not settings.chatgpt.enabled or not fresh or message.from_me or message.kind is not Kind.TEXT:
            return False
        if message.chat.server not in CHATS or message.text.strip() in _NOTHING_TO_ANSWER:
            return False
        if split(message.text, settings.prefix)[0]:
            return False
        return not message.is_group or self._mentioned(message)

    async def handle(self, message: Incoming) -> None:
        """Ask the model and answer."""
        typing, settings = self._settings().typing, self._settings().chatgpt
        chat = str(message.chat)
        if not settings.enabled:  # switched off while the message was queued
            return
        if not await self._gate.allows(message.chat, at_most=settings.answers_per_chat):
            return
        asked = {"role": "user", "content": message.text[:MAX_PROMPT_CHARACTERS]}
        if typing:
            await self._show_typing(message.chat, True)
        try:
            answer = await self._ask(settings, [*self._conversations.of(chat, settings.memory_messages), asked])
            if answer not in (FAILED, TIMED_OUT):
                said = {"role": "assistant", "content": answer}
                self._conversations.add(chat, asked, said, limit=settings.memory_messages)
            await self._reply(message.chat, answer)
        finally:
            if typing:
                await self._show_typing(message.chat, False)

    def _key_for(self, base_url: str) -> str | None:
        theirs = self._secrets.openai_base_url.rstrip("/")
        return self._secrets.openai_api_key if base_url.rstrip("/") == theirs else None

    async def _ask(self, settings: ChatGpt, said: list[dict[str, str]]) -> str:
        from bot_runtime.web.client import WebError

        system = [{"role": "system", "content": settings.system_prompt}] if settings.system_prompt else []
        body = {"model": settings.model, "messages": [*system, *said]}
        try:
            answer = await self._post(settings, body)
            text = msgspec.json.decode(answer, type=_Completion).choices[0].message.content
        except TimeoutError:
            log.warning("the language model did not answer within %g s", settings.timeout_seconds)
            return TIMED_OUT
        except WebError as exc:
            log.warning("the request to the language model failed: %s", exc)
            return TIMED_OUT if "in time" in str(exc) else FAILED
        except (msgspec.MsgspecError, IndexError):
            log.warning("the response of the language model is invalid")
            return FAILED
        return text.strip() if text and text.strip() else FAILED

    async def _post(self, settings: ChatGpt, body: object) -> bytes:
        """The response of the model. Only the installation's own one gets the key and is called unchecked."""
        from bot_runtime.web.addresses import AllowedHosts
        from bot_runtime.web.client import post_directly, post_with_key

        access = self._settings().web_access
        base_url, seconds = settings.base_url.rstrip("/"), settings.timeout_seconds
        if base_url == access.model_url.rstrip("/"):
            post = partial(post_with_key, key=self._key_for(settings.base_url))
        else:
            post = partial(post_directly, allowed=AllowedHosts(access.allowed_hosts))
        url = f"{base_url}/chat/completions"
        return (await self._web.run(seconds, post, url, body, limit=MAX_ANSWER_BYTES)).body
