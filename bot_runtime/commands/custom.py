"""Commands made by operators: a text with placeholders, or a webhook that answers."""

import re

import msgspec

from bot_runtime.commands.base import Command, CommandError, Invocation
from bot_runtime.contract import CustomCommand, WebhookCall
from bot_runtime.web.threads import WebThreads

WEBHOOK_SECONDS = 10.0
MAX_ANSWER_BYTES = 65536
_PLACEHOLDER = re.compile(r"\{(name|number|args|prefix|bot)\}")


class _Answer(msgspec.Struct):
    text: str = ""


def make_custom(custom: CustomCommand, bot_id: str, web: WebThreads) -> Command:
    """The command as the runner wants it."""

    async def run(invocation: Invocation) -> str:
        if custom.webhook:
            return await ask_webhook(custom.webhook, invocation, bot_id, web)
        return fill(custom.response or "", invocation, bot_id)

    return Command(name=custom.name, summary="made for this bot", run=run)


def fill(template: str, invocation: Invocation, bot_id: str) -> str:
    """The template with its placeholders replaced, each once: what is put in is not looked at again."""
    message, settings = invocation.message, invocation.host.settings
    values = {
        "name": message.push_name or message.sender_number or "",
        "number": message.sender_number or "",
        "args": invocation.args,
        "prefix": settings.prefix,
        "bot": settings.name or bot_id,
    }
    return _PLACEHOLDER.sub(lambda found: values[found.group(1)], template)


async def ask_webhook(url: str, invocation: Invocation, bot_id: str, web: WebThreads) -> str:
    """The answer of a webhook. Raises `CommandError` with a sentence for the chat."""
    from bot_runtime.web.client import WebError, post_directly

    message = invocation.message
    call = WebhookCall(
        bot_id=bot_id,
        command=invocation.name,
        args=invocation.args,
        chat=str(message.chat),
        sender=str(message.sender),
        sender_number=message.sender_number,
        push_name=message.push_name,
        message_id=message.id,
    )
    try:
        answer = await web.run(
            WEBHOOK_SECONDS, post_directly, url, call, timeout=WEBHOOK_SECONDS, limit=MAX_ANSWER_BYTES
        )
    except TimeoutError:
        raise CommandError(f"Sorry, {invocation.name} failed: the service did not answer in time.") from None
    except WebError as error:
        raise CommandError(f"Sorry, {invocation.name} failed: {error}.") from error
    if answer.content_type != "application/json":
        return answer.body.decode(errors="replace").strip()
    try:
        return msgspec.json.decode(answer.body, type=_Answer).text.strip()
    except msgspec.MsgspecError as error:
        raise CommandError(f"Sorry, {invocation.name} failed: its answer could not be understood.") from error
