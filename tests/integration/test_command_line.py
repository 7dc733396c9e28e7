"""`python -m orchestrator` as an operator meets it: keys made by hand, and one clear line when it cannot start."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from orchestrator.api.app import create_app
from orchestrator.settings import Settings
from tests.support.processes import ServiceProcess, free_port, measured


def orchestrator(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(arguments, environment)


def run(arguments: Sequence[str], environment: Mapping[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        env={"PATH": os.environ["PATH"], **measured(), **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def key_in(done: subprocess.CompletedProcess[str]) -> str:
    name, _, key = done.stdout.strip().splitlines()[-1].partition("=")
    assert name == "BOTDOCK_API_KEY", done.stderr
    return key


async def bots_status(database_url: str, key: str) -> int:
    app = create_app(Settings(database_url=database_url))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return (await client.get("/api/bots", headers={"X-Api-Key": key})).status_code


@pytest.mark.parametrize("arguments", [["--role", "admin"], ["--role", "viewer", "--server", "server1"]])
async def test_a_key_created_on_the_command_line_is_valid_for_the_api(database_url: str, arguments: list[str]) -> None:
    done = orchestrator("key", "--name", "by hand", *arguments, DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr
    assert await bots_status(database_url, key_in(done)) == 200


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--role", "operator"], "a key of the role operator needs a server"),
        (
            ["--role", "admin", "--server", "server1"],
            "a key of the role admin has access to all servers: omit the server",
        ),
        (["--role", "viewer", "--server", "nowhere"], "server 'nowhere' does not exist"),
    ],
)
def test_a_key_with_a_mismatched_role_and_server_is_rejected(
    database_url: str, arguments: list[str], complaint: str
) -> None:
    done = orchestrator("key", "--name", "by hand", *arguments, DATABASE_URL=database_url)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"botdock: {complaint}"
    assert "BOTDOCK_API_KEY" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["key", "--role", "admin", "--name", ""], "argument --name: must have at least 1 character"),
        (["key", "--role", "admin", "--name", "a\nb"], "argument --name: must contain visible characters"),
        (["key", "--role", "admin", "--name", "\udcff"], "argument --name: "),
        (["key", "--role", "viewer", "--name", "x", "--server", "\udcff"], "argument --server: the name of a server"),
        (["server", "rebind", "\udcff", "--yes"], "argument NAME: the name of a server must match"),
        (["volumes", "--server", "", "list"], "argument --server: the name of a server must match"),
    ],
)
def test_an_invalid_argument_is_reported_without_a_traceback(
    database_url: str, arguments: list[str], complaint: str
) -> None:
    done = orchestrator(*arguments, DATABASE_URL=database_url, ENGINE="memory")
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr.splitlines()[-1]


def test_an_invalid_setting_prevents_the_start_with_one_line_that_hides_the_value() -> None:
    done = orchestrator("api", DATABASE_URL="mysql://root:hunter2@db/x", API_PORT="0")
    assert done.returncode == 2
    assert done.stderr.startswith("botdock: cannot start: ")
    assert done.stderr.count("\n") == 1
    assert "DATABASE_URL" in done.stderr
    assert "API_PORT" in done.stderr
    assert "hunter2" not in done.stderr


async def engine_of_server(database_url: str) -> list[tuple[str | None]]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        return await (await connection.execute("SELECT engine_id FROM servers WHERE name = 'server1'")).fetchall()


async def test_a_server_is_moved_to_this_engine_only_when_confirmed(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("UPDATE servers SET engine_id = 'former' WHERE name = 'server1'")
    environment = {"DATABASE_URL": database_url, "ENGINE": "memory"}
    done = orchestrator("server", "rebind", "server1", **environment)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "botdock: nothing was changed: confirm with --yes")
    assert "Server server1 is bound to engine former; this engine is memory." in done.stdout
    assert await engine_of_server(database_url) == [("former",)]
    assert orchestrator("server", "rebind", "server1", "--yes", **environment).returncode == 0
    assert await engine_of_server(database_url) == [("memory",)]
    again = orchestrator("server", "rebind", "server1", "--yes", **environment)
    assert "already bound to this engine" in again.stdout
    unknown = orchestrator("server", "rebind", "nowhere", "--yes", **environment)
    assert (unknown.returncode, unknown.stderr) == (2, "botdock: server 'nowhere' does not exist\n")


def test_an_unknown_server_is_no_server_without_volumes(database_url: str) -> None:
    environment = {"DATABASE_URL": database_url, "ENGINE": "memory"}
    assert orchestrator("volumes", "--server", "server1", "list", **environment).returncode == 0
    unknown = orchestrator("volumes", "--server", "nowhere", "list", **environment)
    assert (unknown.returncode, unknown.stderr) == (2, "botdock: server 'nowhere' does not exist\n")


async def test_a_confirmation_that_cannot_be_read_changes_nothing(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("UPDATE servers SET engine_id = 'former' WHERE name = 'server1'")
    terminal, stdin = pty.openpty()
    os.write(terminal, b"\x04")  # the end of the input
    unreadable: list[dict[str, Any]] = [{"stdin": stdin}, {"preexec_fn": partial(os.close, 0)}]
    for before in unreadable:
        done = run(["server", "rebind", "server1"], {"DATABASE_URL": database_url, "ENGINE": "memory"}, **before)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert done.stderr.startswith("botdock: nothing was changed")
    os.close(stdin)
    os.close(terminal)
    assert await engine_of_server(database_url) == [("former",)]


@pytest.mark.parametrize(
    ("hard", "line"),
    [
        (4096, "4096 at most (raised from 128), about 266 needed"),
        (200, "200 at most (raised from 128), but about 266 are needed"),
    ],
)
def test_the_limit_of_file_descriptors_is_raised_and_reported(tmp_path: Path, hard: int, line: str) -> None:
    port = free_port()
    process = ServiceProcess(
        ["orchestrator", "api"],
        url=f"http://127.0.0.1:{port}",
        ready_path="/livez",
        environment={"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "API_PORT": str(port)},
        log=tmp_path / "api.log",
        prefix=["sh", "-c", f'ulimit -Sn 128 && ulimit -Hn {hard} && exec "$@"', "sh"],
    )
    process.wait_ready()
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    process.stop()
    assert f"Max open files {hard} {hard}" in " ".join(limits.split())
    assert f"orchestrator.descriptors: file descriptors: {line}" in (tmp_path / "api.log").read_text()
