"""Finding, locking and running commands."""

import asyncio
from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Any

import msgspec
import pytest

from bot_runtime.commands.base import Command, CommandError, Invocation
from bot_runtime.commands.builtin import built_in
from bot_runtime.commands.builtin.status import duration
from bot_runtime.commands.custom import fill
from bot_runtime.commands.locks import CommandLocks
from bot_runtime.commands.runner import CommandRunner, is_owner, split
from bot_runtime.contract import CustomCommand, Health, RuntimeConfig
from bot_runtime.hooks.answer_gate import PAUSED, AnswerGate
from bot_runtime.storage.spool import Spool
from bot_runtime.web.threads import WebThreads
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Content, Incoming, Kind


class Host:
    """A bot that only has settings."""

    def __init__(self, **settings: Any) -> None:
        self.settings = RuntimeConfig(**settings)

    def health(self) -> Health:
        raise AssertionError("not used in these tests")

    def change_settings(self, **changes: Any) -> RuntimeConfig:
        self.settings = msgspec.structs.replace(self.settings, **changes)
        return self.settings


def message(
    text: str, *, server: str = "s.whatsapp.net", kind: Kind = Kind.TEXT, from_me: bool = False, device: int | None = 0
) -> Incoming:
    return Incoming(
        id="A", chat=Address("1", server), sender=Address("77", "lid"), sender_number="491700000001", from_me=from_me,
        device=device, is_group=False, timestamp=datetime.now(UTC), push_name="Ada",
        content=Content(kind=kind, text=text),
    )  # fmt: skip


class Setup:
    """A runner with a host that collects the answers."""

    def __init__(self, store: Connection, host: Host | None = None, *, seconds: float = 30) -> None:
        self.host = host or Host()
        self.answers: list[str] = []
        self.typing: list[bool] = []
        self.runner = CommandRunner(
            self.host,
            bot_id="bot-1",
            reply=self._reply,
            show_typing=self._typing,
            cached=lambda: 0,
            web=WebThreads(1),
            allows=AnswerGate(lambda: self.host.settings, self._reply, Spool(store)).allows,
            seconds=seconds,
        )

    async def _reply(self, _: Address, text: str) -> None:
        self.answers.append(text)

    async def _typing(self, _: Address, on: bool) -> None:
        self.typing.append(on)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (".ping", ("ping", "")),
        (". ping", ("ping", "")),
        (".PING now  then ", ("ping", "now  then")),
        (".ping\nnow", ("ping", "now")),
        ("ping", ("", "")),
        ("", ("", "")),
        (".", ("", "")),
        ("x.ping", ("", "")),
    ],
)
def test_a_command_is_the_first_word_after_the_prefix(text: str, found: tuple[str, str]) -> None:
    assert split(text, ".") == found


async def test_only_texts_with_a_known_command_in_a_chat_are_commands(store: Connection) -> None:
    wants = Setup(store, Host(commands=[CustomCommand(name="hours", response="9 to 5")])).runner.wants
    assert wants(message(".ping"), fresh=True)
    assert wants(message(".hours"), fresh=True)
    assert wants(message(".ping", server="g.us", from_me=True), fresh=True)
    assert not wants(message(".ping"), fresh=False)
    assert not wants(message(".nothing"), fresh=True)
    assert not wants(message(".ping", kind=Kind.STATUS), fresh=True)
    assert not wants(message(".ping", server="broadcast"), fresh=True)


def test_owners_are_the_account_itself_and_the_configured_numbers() -> None:
    assert is_owner(message("", from_me=True), RuntimeConfig())
    assert is_owner(message(""), RuntimeConfig(owners=["491700000001"]))
    assert not is_owner(message(""), RuntimeConfig(owners=["491700000002"]))


@pytest.mark.parametrize("device", [1, 99, None])
def test_on_linked_devices_owners_have_rights_only_if_a_setting_says_so(device: int | None) -> None:
    for asked in (message("", from_me=True, device=device), message("", device=device)):
        assert not is_owner(asked, RuntimeConfig(owners=["491700000001"]))
        assert is_owner(asked, RuntimeConfig(owners=["491700000001"], owners_on_linked_devices=True))


@pytest.mark.parametrize("command", [command for command in built_in().values() if command.owners_only])
async def test_settings_commands_are_for_owners_only(store: Connection, command: Command) -> None:
    setup = Setup(store)
    await setup.runner.handle(message(f".{command.name} on"))
    assert setup.answers == [f"Only owners of this bot may use .{command.name}."]
    assert setup.host.settings == RuntimeConfig()


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ("autoview", "auto_view"),
        ("typing", "typing"),
        ("antidelete", "anti_delete"),
        ("antiviewonce", "anti_view_once"),
    ],
)
async def test_a_switch_shows_and_changes_its_setting(store: Connection, command: str, field: str) -> None:
    setup = Setup(store)
    for text in (f".{command}", f".{command} on", f".{command} maybe", f".{command} OFF"):
        await setup.runner.handle(message(text, from_me=True))
    assert [answer.partition(":")[0] for answer in setup.answers] == [
        f"{command} is off", f"{command} is on", "Expected on or off.", f"{command} is off",
    ]  # fmt: skip
    assert getattr(setup.host.settings, field) is False


async def test_the_base_url_of_the_language_model_cannot_be_changed_from_a_chat(store: Connection) -> None:
    setup = Setup(store)
    for text in (".chatgpt set base_url http://evil", ".chatgpt set model small", ".chatgpt set memory 5"):
        await setup.runner.handle(message(text, from_me=True))
    settings = setup.host.settings.chatgpt
    assert setup.answers[0].startswith("Expected one of")
    assert (settings.base_url, settings.model, settings.memory_messages) == (
        RuntimeConfig().chatgpt.base_url, "small", 5,
    )  # fmt: skip


def test_placeholders_are_replaced_once_and_nothing_else_is() -> None:
    invocation = Invocation("x", "{bot} %s {0.__class__}", message(""), False, Host(name="Shop"))
    assert fill("{bot} {args} {name} {number} {prefix} {unknown} {args.__class__}", invocation, "bot-1") == (
        "Shop {bot} %s {0.__class__} Ada 491700000001 . {unknown} {args.__class__}"
    )


@pytest.mark.parametrize(
    ("error", "answer"),
    [(CommandError("No such thing."), "No such thing."), (RuntimeError("inner"), "Sorry, .broken failed.")],
)
async def test_a_failing_command_answers_and_releases_its_lock(
    store: Connection, error: Exception, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Invocation) -> str:
        raise error

    monkeypatch.setitem(built_in(), "broken", Command(name="broken", summary="", run=fail))
    setup = Setup(store, Host(typing=True))
    await setup.runner.handle(message(".broken"))
    assert setup.answers == [answer]
    assert setup.typing == [True, False]
    assert (len(setup.runner.locks), setup.runner.ran) == (0, 1)


async def test_strangers_are_not_answered_without_limit_and_owners_are(store: Connection) -> None:
    setup = Setup(store, Host(answers_per_chat=2))
    for _ in range(5):
        await setup.runner.handle(message(".ping"))
    assert setup.answers == ["pong", "pong", PAUSED]
    assert setup.runner.ran == 2
    await setup.runner.handle(message(".ping", from_me=True))
    assert setup.answers[3:] == ["pong"]
    await setup.runner.handle(message(".ping", from_me=True, device=1))
    assert len(setup.answers) == 4


class Hanging:
    """A command that never returns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.ended = asyncio.Event(), asyncio.Event()
        monkeypatch.setitem(built_in(), "hanging", Command(name="hanging", summary="", run=self._run))

    async def _run(self, _: Invocation) -> str:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return "never"


async def test_a_command_that_hangs_delays_no_other(store: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, setup = Hanging(monkeypatch), Setup(store)
    task = asyncio.create_task(setup.runner.handle(message(".hanging")))
    await hanging.began.wait()
    await setup.runner.handle(message(".ping"))
    assert setup.answers == ["pong"]
    assert not task.done()
    task.cancel()


async def test_a_command_that_hangs_is_ended_and_the_next_one_has_its_turn(
    store: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, setup = Hanging(monkeypatch), Setup(store, seconds=0.01)
    both = [setup.runner.handle(message(".hanging")) for _ in range(2)]
    await asyncio.wait_for(asyncio.gather(*both), 20)
    assert hanging.ended.is_set()
    assert setup.answers == ["Sorry, .hanging took too long."] * 2
    assert len(setup.runner.locks) == 0


class Work:
    """A task that holds a lock until `end` is set."""

    def __init__(self, locks: CommandLocks, name: str, order: list[str], label: str) -> None:
        self.end = asyncio.Event()
        self.began = asyncio.Event()
        self.task = asyncio.create_task(self._run(locks, name, order, label))

    async def _run(self, locks: CommandLocks, name: str, order: list[str], label: str) -> None:
        async with locks.hold(name):
            order.append(label)
            self.began.set()
            await self.end.wait()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_same_command_waits_for_itself_and_another_does_not() -> None:
    locks, order = CommandLocks(), []  # type: CommandLocks, list[str]
    first = Work(locks, "a", order, "first")
    await first.began.wait()
    second, other = Work(locks, "a", order, "second"), Work(locks, "b", order, "other")
    await settled()
    assert order == ["first", "other"]
    assert len(locks) == 2
    first.end.set()
    await second.began.wait()
    second.end.set()
    other.end.set()
    await asyncio.gather(first.task, second.task, other.task)
    assert len(locks) == 0


async def test_a_lock_is_released_when_its_holder_raises() -> None:
    locks = CommandLocks()
    with pytest.raises(ValueError, match="x"):
        async with locks.hold("a"):
            raise ValueError("x")
    assert len(locks) == 0


async def test_a_lock_held_too_long_passes_on_and_its_late_release_has_no_effect() -> None:
    locks, order = CommandLocks(ttl_seconds=0.01), []  # type: CommandLocks, list[str]
    stuck = Work(locks, "a", order, "stuck")
    await stuck.began.wait()
    second = Work(locks, "a", order, "second")
    await second.began.wait()
    stuck.end.set()
    await stuck.task
    third = Work(locks, "a", order, "third")
    second.end.set()
    third.end.set()
    await asyncio.gather(second.task, third.task)
    assert order == ["stuck", "second", "third"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59, "59 s"), (3600, "1 h"), (3661, "1 h 1 min"), (200000, "2 d 7 h")]
)
def test_durations_are_short(seconds: int, said: str) -> None:
    from datetime import timedelta

    assert duration(timedelta(seconds=seconds)) == said
