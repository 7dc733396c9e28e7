"""The wall clock of the machine is set by an hour while the bot runs."""

import os
from pathlib import Path

import pytest

from tests.integration.bot_runtime.harness import Network, Start, eventually, new_phone

# Python runs it at the start of the process, before it imports anything else.
SITECUSTOMIZE = """
import datetime, os, time

real, wall = datetime.datetime, time.time

def ahead():
    with open(os.environ["CLOCK"]) as file:
        return float(file.read())

class Shifted(real):
    # Its instances are ordinary datetimes.

    def __new__(cls, *arguments, **options):
        return real(*arguments, **options)

    @classmethod
    def now(cls, tz=None):
        return real.now(tz) + datetime.timedelta(seconds=ahead())

datetime.datetime = Shifted
time.time = lambda: wall() + ahead()
"""


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_after_a_jump_commands_are_answered_and_messages_sent_once(
    start: Start, network: Network, contact: str, neonize_site: Path, tmp_path: Path, seconds: int
) -> None:
    clock, folder, phone = tmp_path / "clock", tmp_path / "python", new_phone()
    clock.write_text("0")
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    shifted = {
        "CLOCK": str(clock),
        "PYTHONPATH": os.pathsep.join((str(folder), str(neonize_site), str(Path.cwd()))),
    }

    def ask(times: int) -> None:
        network.write(contact, phone, ".ping")
        answers = eventually(lambda: network.inbox(contact), lambda texts: texts.count("pong") == times, seconds=30)
        assert answers.count("hello") == 1

    bot = start(**shifted)
    bot.pair(network, phone)
    bot.send("a", contact, "hello")
    ask(1)
    clock.write_text(str(seconds))
    ask(2)
    assert bot.send("a", contact, "hello")["repeated"]
    bot.kill()
    again = start(**shifted)
    again.wait_for("online")
    ask(3)
    assert again.send("a", contact, "hello")["repeated"]
