"""Commands defined by operators: a text with placeholders, or a webhook."""

import re

import msgspec

from bot_runtime.commands.base import Command, CommandError, Invocation
from bot_runtime.contract import CustomCommand, WebhookCall
from bot_runtime.web.threads import WebThreads

WEBHOOK_SECONDS = 10.0
MAX_ANSWER_BYTES = 65536
_PLACEHOLDER = re.compile(r"\{(name|number|args|prefix|bot)\}")


class _WebhookAnswer(msgspec.Struct):
    text: str = ""


def make_custom(custom: CustomCommand, bot_id: str, web: WebThreads) -> Command:
    """A command that the runner can run."""

    async def run(invocation: Invocation) -> str:
        if custom.webhook:
            return await ask_webhook(custom.webhook, invocation, bot_id, web)
        return fill(custom.response or "", invocation, bot_id)

    return Command(name=custom.name, summary="custom command", run=run)


def fill(template: str, invocation: Invocation, bot_id: str) -> str:
    """The template with its placeholders replaced. Inserted values are not expanded again."""
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
    """The answer of a webhook. Raises `CommandError` with a message for the chat."""
    from bot_runtime.web.addresses import AllowedHosts
    from bot_runtime.web.client import WebError, post_directly

    message = invocation.message
    allowed = AllowedHosts(invocation.host.settings.web_access.allowed_hosts)
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
            WEBHOOK_SECONDS,
            post_directly,
            url,
            call,
            allowed=allowed,
            limit=MAX_ANSWER_BYTES,
        )
    except TimeoutError:
        raise CommandError(f"Sorry, {invocation.name} failed: the service did not answer in time.") from None
    except WebError as exc:
        raise CommandError(f"Sorry, {invocation.name} failed: {exc}.") from exc
    if answer.content_type != "application/json":
        return answer.body.decode(errors="replace").strip()
    try:
        return msgspec.json.decode(answer.body, type=_WebhookAnswer).text.strip()
    except msgspec.MsgspecError as exc:
        raise CommandError(f"Sorry, {invocation.name} failed: the response of the service is invalid.") from exc
