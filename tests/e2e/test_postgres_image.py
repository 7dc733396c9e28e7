"""The postgres image: the first start creates the database, also after an interruption; later ones use it."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.eventually import eventually
from tests.support.images import container_name, docker

pytestmark = pytest.mark.docker

IMAGE = "botdock/postgres:dev"
DATA = "/var/lib/postgresql/data"
SETTINGS = ("--env", "POSTGRES_USER=owner", "--env", "POSTGRES_PASSWORD=it's a secret", "--env", "POSTGRES_DB=fleet")

Start = Callable[..., str]


@pytest.fixture
def volume() -> Iterator[str]:
    name = container_name()
    docker("volume", "create", name)
    yield name
    docker("volume", "rm", name)


@pytest.fixture
def start(volume: str) -> Iterator[Start]:
    """Starts containers on one volume, as restricted as in the stack; returns their names."""
    names: list[str] = []

    def run(*options: str, command: tuple[str, ...] = ()) -> str:
        names.append(container_name())
        docker(
            *("run", "--detach", "--name", names[-1], "--volume", f"{volume}:{DATA}", "--network", "none"),
            *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--tmpfs", "/tmp", "--tmpfs", "/run/postgresql:uid=999,gid=999,mode=2775"),  # noqa: S108
            *(*options, IMAGE, *command),
        )
        return names[-1]

    yield run
    for name in names:
        docker("rm", "--force", name)


def sql(container: str, query: str) -> str:
    """The result of a query over TCP with the password."""
    url = "postgresql://owner:it%27s%20a%20secret@127.0.0.1/fleet"
    return docker("exec", container, "psql", url, "--tuples-only", "--no-align", "--command", query).decode().strip()


def ready(container: str) -> None:
    """Wait until the database answers, which it does only when it is complete."""

    def answers() -> bool:
        try:
            return sql(container, "SELECT 1") == "1"
        except AssertionError:
            assert running(container), docker("logs", container).decode()
            return False

    eventually(answers, what="the database")


def running(container: str) -> bool:
    return docker("inspect", "--format", "{{.State.Running}}", container).decode().strip() == "true"


def exit_code(container: str) -> int:
    return int(docker("wait", container))


def test_user_password_and_database_come_from_the_environment(start: Start) -> None:
    database = start(*SETTINGS)
    ready(database)
    assert sql(database, "SELECT current_user, current_database()") == "owner|fleet"
    assert sql(database, "SHOW server_encoding") == "UTF8"


def test_data_survives_a_stop_and_needs_no_password_again(start: Start) -> None:
    first = start(*SETTINGS)
    ready(first)
    sql(first, "CREATE TABLE stored AS SELECT 42 AS number")
    docker("stop", "--time", "30", first)
    assert exit_code(first) == 0
    second = start()
    ready(second)
    assert sql(second, "SELECT number FROM stored") == "42"


@pytest.mark.parametrize("left_behind", ["mkdir .new && : >.new/PG_VERSION", "mkdir .new", "mkdir lost+found"])
def test_an_interrupted_first_start_is_repeated(start: Start, left_behind: str) -> None:
    assert exit_code(start(command=("sh", "-c", f"cd {DATA} && {left_behind}"))) == 0
    database = start(*SETTINGS)
    ready(database)
    assert docker("exec", database, "ls", "-A", DATA).decode().split().count(".new") == 0


def test_an_interrupted_move_is_completed(start: Start) -> None:
    ready(first := start(*SETTINGS))
    docker("stop", "--time", "30", first)
    undone = f"cd {DATA} && mkdir .new && mv PG_VERSION base .new/ && : >.new/complete"
    assert exit_code(start(command=("sh", "-c", undone))) == 0
    ready(second := start())
    assert sql(second, "SELECT current_database()") == "fleet"


def test_without_a_password_nothing_is_created(start: Start) -> None:
    database = start()
    assert exit_code(database) == 1
    assert docker("run", "--rm", "--volumes-from", database, IMAGE, "ls", "-A", DATA) == b""


def test_arguments_go_to_the_server(start: Start) -> None:
    database = start(*SETTINGS, command=("postgres", "-c", "max_connections=17"))
    ready(database)
    assert sql(database, "SHOW max_connections") == "17"
