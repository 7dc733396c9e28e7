"""What a compromised bot can do to others through the network that the bots share."""

from pathlib import Path

import pytest

from bot_runtime.contract import PORT
from bot_runtime.endpoint.admission import MAX_STRANGERS_PER_PEER
from tests.support.eventually import eventually
from tests.support.fleet import Fleet

pytestmark = [pytest.mark.docker, pytest.mark.slow]

PYTHON = "/usr/bin/python3.13"
HOLD_CONNECTIONS = """
import socket, time
held = []
def is_open(connection):
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
while True:
    for _ in range(10):
        try:
            connection = socket.create_connection(("{host}", {port}), 5)
        except OSError:
            break
        connection.setblocking(False)
        held.append(connection)
    time.sleep(0.05)
    held = [connection for connection in held if is_open(connection)]
"""
"""Opens connections without end, and keeps every one that is not closed by the other side."""
CONNECT = """
import socket
try:
    with socket.create_connection(("{host}", {port}), 5) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n")
        print(connection.recv(100))
except ConnectionResetError:
    print("reset")
"""


def test_idle_connections_of_another_bot_do_not_hide_a_bot_from_its_controller(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    controller = fleet.start_controller()
    for bot in ("attacked", "attacker"):
        fleet.create(bot)
    for bot in ("attacked", "attacker"):
        fleet.wait_phase(bot, "pairing")
    started = fleet.started_at("attacked")
    host = fleet.container("attacked").attrs["NetworkSettings"]["Networks"][f"botdock-{fleet.server}"]["IPAddress"]
    fleet.container("attacker").exec_run([PYTHON, "-c", HOLD_CONNECTIONS.format(host=host, port=PORT)], detach=True)
    sockets = Path(f"/proc/{fleet.container('attacked').attrs['State']['Pid']}/net/tcp6")
    eventually(
        lambda: sockets.read_text().count(f":{PORT:04X} "),
        lambda count: count > MAX_STRANGERS_PER_PEER,
        what="connections of the attacker",
    )

    controller.stop()
    fleet.start_controller()
    fresh = fleet.status("attacked")["lastHeartbeat"]
    fleet.wait_status("attacked", lambda status: status["lastHeartbeat"] > fresh, what="probes that succeed")
    assert fleet.status("attacked")["phase"] == "pairing"
    assert fleet.started_at("attacked") == started


def test_api_and_controller_do_not_answer_in_the_network_of_the_bots(bare_fleet: Fleet) -> None:
    fleet = bare_fleet
    controller = fleet.start_controller(CONTROLLER_HOST="0.0.0.0")
    fleet.create("curious")
    fleet.wait_phase("curious", "pairing")
    gateway = fleet.container("curious").attrs["NetworkSettings"]["Networks"][f"botdock-{fleet.server}"]["Gateway"]
    port = int(controller.url.rpartition(":")[2])

    def answer() -> bytes:
        script = CONNECT.format(host=gateway, port=port)
        output = fleet.container("curious").exec_run([PYTHON, "-c", script]).output
        assert isinstance(output, bytes)
        return output

    assert eventually(answer, bool, what="an answer") in {b"reset\n", b"b''\n"}
