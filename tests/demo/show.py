"""`make demo`, a stack with three paired bots, and `make up`, a stack for real phones."""

from tests.demo import checkouts
from tests.demo import stack as stacks
from tests.demo.fleet import Botdock, Phones, wait_for
from tests.demo.housekeeping import fleet_table
from tests.demo.stack import Stack
from tests.demo.talk import PERSON, PERSON_PHONE, DemoBot, Talk
from tests.demo.terminal import Terminal

READY_SECONDS = 90
QR_SECONDS = 60
ONLINE_SECONDS = 60

BOTS = (DemoBot("alpha", "491510000001"), DemoBot("beta", "491510000002"), DemoBot("gamma", "491510000003"))


def demo(terminal: Terminal, name: str) -> None:
    """Start everything, pair three bots, and show that they answer; when it is up already, only the last part."""
    stack = stacks.demo(name)
    key = start(terminal, stack)
    simulator = f"http://127.0.0.1:{stack.ports['SIMULATOR_PORT']}"
    with Botdock(stack.url, key) as api, Phones(simulator) as phones:
        wait_for("the simulator", phones.healthy, seconds=READY_SECONDS, otherwise=lambda: _logs(stack, "simulator"))
        with terminal.step("creating and approving three bots: " + ", ".join(bot.id for bot in BOTS)):
            for bot in BOTS:
                api.approved_bot(bot.id, name=f"Demo {bot.id}", phone=bot.phone)
        with terminal.step("waiting until they are online; a new bot shows a QR code, and its phone scans it"):
            for bot in BOTS:
                pair(terminal, api, phones, bot, draw=bot is BOTS[0])
            for bot in BOTS:
                wait_until_online(terminal, api, bot)
        phones.contact(PERSON_PHONE, PERSON)
        talk = Talk(terminal, api, phones)
        with terminal.step(f"{PERSON} writes to each of them"):
            for bot in BOTS:
                talk.says(bot, ".ping")
        with terminal.step(f"a command created through the API, an image, and a group with {PERSON}"):
            talk.custom_command(BOTS[0])
            talk.image(BOTS[1])
            talk.group(BOTS[2])
    terminal.show(f"\n{fleet_table(name)}\n")
    terminal.show(
        f"API     {stack.url}/docs   (user: anything, password: the key)\n"
        f"key     {key}   (stored in {stack.key_file.relative_to(stacks.PROJECT)})\n"
        f"phones  {simulator}/docs   (scan, write as a contact, inject failures)\n"
        f"stop    make down   (all data stay; 'make clean' removes the demo)\n"
    )
    terminal.say("three bots are online and answering")


def up(terminal: Terminal) -> None:
    """Start the stack for real phones, and print what to do next."""
    stack = stacks.real()
    start(terminal, stack)
    file = stack.key_file.relative_to(stacks.PROJECT)
    terminal.show(
        f"\nAPI     {stack.url}/docs   (user: anything, password: the key)\n"
        f"key     in {file}: '. {file}' sets BOTDOCK_URL and BOTDOCK_API_KEY\n"
        f"stop    make down   (all data stay; 'make purge' deletes them)\n\n"
        f"Your first bot:\n\n"
        f"  . {file}\n"
        '  curl -sH "X-Api-Key: $BOTDOCK_API_KEY" $BOTDOCK_URL/api/bots --json \'{"id": "shop", "name": "Shop"}\'\n'
        '  curl -sH "X-Api-Key: $BOTDOCK_API_KEY" $BOTDOCK_URL/api/bots/shop/approve -X POST\n'
        '  curl -sH "X-Api-Key: $BOTDOCK_API_KEY" "$BOTDOCK_URL/api/bots/shop/qr?format=terminal&wait=30"\n\n'
        "and scan the code with the phone: Linked devices, Link a device. More in docs/real-phones.md.\n"
    )
    terminal.say("the stack is up")


def start(terminal: Terminal, stack: Stack) -> str:
    """Start the stack and wait until the API answers; returns a valid admin key, which is also stored."""
    stack.check()
    checkouts.claim(stack)
    key = stack.stored_key()
    if key is None:
        with terminal.step("starting Postgres, creating the tables and the first key"):
            key = stack.migrate() or stack.new_key()
            stack.store_key(key)
    with terminal.step(f"starting the stack (compose project {stack.project})"):
        stack.up()
        with Botdock(stack.url, key) as api:
            wait_for("the API", api.ready, seconds=READY_SECONDS, otherwise=lambda: _logs(stack, "api"))
            if not api.key_is_valid():
                terminal.say("  the stored key is not valid for this database: creating another one")
                key = stack.new_key()
    stack.store_key(key)
    return key


def pair(terminal: Terminal, api: Botdock, phones: Phones, bot: DemoBot, *, draw: bool) -> None:
    """Wait until the bot shows a QR code, and scan it with its phone; nothing if the bot is paired already."""

    def paired() -> bool | None:
        phase, _ = api.phase(bot.id)
        if is_online(api, bot):
            return True
        drawing = api.qr(bot.id, "terminal") if draw and phase == "pairing" else None
        code = api.qr(bot.id, "raw") if phase == "pairing" else None
        if code is None:
            return None
        if drawing:
            terminal.show(drawing)
        phones.scan(bot.phone, code)
        terminal.say(f"  {bot.id}: its phone +{bot.phone} has scanned the code")
        return True

    wait_for(f"bot {bot.id}", paired, seconds=QR_SECONDS, otherwise=lambda: api.diagnosis(bot.id))


def wait_until_online(terminal: Terminal, api: Botdock, bot: DemoBot) -> None:
    """Wait until the bot is online."""

    def online() -> bool | None:
        return is_online(api, bot) or None

    wait_for(f"bot {bot.id}", online, seconds=ONLINE_SECONDS, otherwise=lambda: api.diagnosis(bot.id))
    terminal.say(f"  {bot.id}: online")


def is_online(api: Botdock, bot: DemoBot) -> bool:
    """Whether it is online and its container runs: before the first sweep, the API has the state before `make down`."""
    return api.phase(bot.id)[0] == "online" and stacks.runs(api.container(bot.id))


def _logs(stack: Stack, service: str) -> str:
    lines = stack.compose("logs", "--tail", "5", "--no-log-prefix", service).strip().splitlines()
    last = f" Its last line: {lines[-1]}" if lines else ""
    return f"see 'docker compose -p {stack.project} logs {service}'.{last}"
