"""The container that a bot really gets: as the engine describes it, and as a process inside finds it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.engine.base import Label
from tests.integration.engine.worlds import DockerWorld, bot_spec, until

pytestmark = pytest.mark.docker

LOOK_AROUND = """
import json, os, pathlib, socket, stat, subprocess, sys, time

from bot_runtime.storage.confinement import forbid_foreign_programs

def refused(act):
    try:
        act()
    except OSError as exc:
        return exc.strerror
    return None

def run_from(directory):
    copy = pathlib.Path(directory, "program")
    copy.write_bytes(pathlib.Path(sys.executable).read_bytes())
    copy.chmod(0o755)
    subprocess.run([copy], check=True)

def run_from_auth_as_a_bot():
    # What the runtime does first; here in a child, because it cannot be undone.
    child = os.fork()
    if child == 0:
        confined = forbid_foreign_programs()
        subprocess.run([sys.executable, "-c", ""], check=True)
        os._exit(0 if confined and refused(lambda: run_from("/auth")) == "Permission denied" else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def become_root():
    os.setuid(0)

def fork_until_refused():
    children = []
    try:
        while len(children) < 200:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)
    finally:
        for child in children:
            os.kill(child, 9)

status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
mounts = {line.split()[1]: line.split()[3].split(",") for line in open("/proc/self/mounts")}
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "capabilities": [status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privileges": status["NoNewPrivs"].strip(), "seccomp": status["Seccomp"].strip(),
    "first_process": open("/proc/1/comm").read().strip(),
    "hostname": socket.gethostname(),
    "root_write": refused(lambda: open("/written", "w")),
    "app_write": refused(lambda: open("/app/written", "w")),
    "tmp_write": refused(lambda: open("/tmp/written", "w")),
    "auth_write": refused(lambda: open("/auth/written", "w")),
    "auth_mode": oct(os.stat("/auth").st_mode & 0o777), "auth_owner": os.stat("/auth").st_uid,
    "tmp_run": refused(lambda: run_from("/tmp")),
    "auth_run": run_from_auth_as_a_bot(),
    "auth_device": refused(lambda: os.mknod("/auth/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))),
    "tmp_bytes": os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize, "tmp_options": mounts["/tmp"],
    "become_root": refused(become_root),
    "mount": refused(lambda: os.chroot("/tmp")),
    "fork": refused(fork_until_refused),
    "docker_socket": os.path.exists("/var/run/docker.sock"),
    "environment": dict(os.environ),
}), flush=True)
"""


async def look_around(world: DockerWorld) -> tuple[dict[str, Any], dict[str, Any]]:
    """The engine's description of a bot's container, and what a process inside sees."""
    engine = world.engine()
    spec = bot_spec(world)
    spec.env.update({"PROGRAM": LOOK_AROUND, "BOTDOCK_SOMETHING": "of ours"})
    await engine.ensure_network(spec.network)
    await engine.start(await engine.create(spec))

    async def told() -> bool:
        return bool(await engine.logs(spec.name, tail=1))

    await until(told, "the process inside has looked around")
    output = world.client.logs(spec.name).decode()
    return world.client.inspect_container(spec.name), json.loads(output)


async def test_a_bots_container_is_hardened_inside(docker_world: DockerWorld) -> None:
    _, inside = await look_around(docker_world)
    assert (inside["uid"], inside["gid"]) == (10001, 10001)
    assert 0 not in inside["groups"]
    assert set(inside["capabilities"]) == {"0" * 16}
    assert inside["no_new_privileges"] == "1"
    assert inside["seccomp"] == "2", "a filter is in force"
    assert inside["become_root"] == "Operation not permitted"
    assert inside["mount"] == "Operation not permitted"
    assert inside["docker_socket"] is False


async def test_only_tmp_and_auth_are_writable_and_tmp_is_noexec(docker_world: DockerWorld) -> None:
    _, inside = await look_around(docker_world)
    assert inside["root_write"] == "Read-only file system"
    assert inside["app_write"] == "Read-only file system"
    assert inside["tmp_write"] is None
    assert inside["tmp_run"] == "Permission denied"
    assert inside["tmp_bytes"] == 16 << 20
    assert {"noexec", "nosuid", "nodev"} <= set(inside["tmp_options"])
    assert inside["auth_write"] is None
    assert (inside["auth_mode"], inside["auth_owner"]) == ("0o700", 10001)


async def test_a_bot_executes_no_file_and_creates_no_device_on_its_volume(docker_world: DockerWorld) -> None:
    _, inside = await look_around(docker_world)
    assert inside["auth_run"] == 0
    assert inside["auth_device"] == "Operation not permitted"


async def test_the_engine_measures_the_volumes_of_the_bots(docker_world: DockerWorld) -> None:
    engine, stranger = docker_world.engine(), docker_world.engine("b")
    spec = replace(bot_spec(docker_world), volume_max_bytes=64 << 20)
    spec.env["PROGRAM"] = f"open('/auth/large', 'wb').write(bytes({3 << 20})); print('written', flush=True)"
    await engine.ensure_network(spec.network)
    assert await engine.volume_sizes() == {}
    await engine.start(await engine.create(spec))
    if docker_world.client.inspect_volume(spec.volume)["Options"]:
        pytest.skip("the engine's storage limits volumes itself, and Docker does not measure those")

    async def written() -> bool:
        return await engine.logs(spec.name, tail=1) == ["written"]

    await until(written, "the file is written")
    assert await engine.volume_sizes() == {spec.volume: 3 << 20}
    assert await stranger.volume_sizes() == {}


async def test_one_bot_cannot_exceed_its_limits(docker_world: DockerWorld) -> None:
    described, inside = await look_around(docker_world)
    limits = described["HostConfig"]
    assert limits["Memory"] == limits["MemorySwap"] == 48 << 20
    assert limits["NanoCpus"] == 500_000_000
    assert limits["PidsLimit"] == 32
    assert inside["fork"] == "Resource temporarily unavailable"


async def test_the_engine_reports_the_template(docker_world: DockerWorld) -> None:
    described, inside = await look_around(docker_world)
    host = described["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Privileged"] is False
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["LogConfig"] == {"Type": "local", "Config": {"max-file": "2", "max-size": "1m"}}
    assert not host["PortBindings"]
    assert not any(described["NetworkSettings"]["Ports"].values()), "no port is published"
    assert described["Config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert "Health" not in described["State"]
    assert described["Config"]["StopSignal"] == "SIGTERM"
    assert inside["first_process"] == "docker-init"
    assert inside["hostname"] == "bot-1"
    assert inside["environment"]["BOTDOCK_SOMETHING"] == "of ours"
    assert [(mount["Type"], mount["Destination"]) for mount in described["Mounts"]] == [("volume", "/auth")]
    assert list(described["NetworkSettings"]["Networks"]) == [f"{docker_world.tag}-net"]


async def test_the_volume_is_labelled_with_its_owner(docker_world: DockerWorld) -> None:
    engine = docker_world.engine()
    spec = bot_spec(docker_world)
    await engine.create(spec)
    labels = docker_world.client.inspect_volume(spec.volume)["Labels"]
    assert labels == {Label.OWNER: docker_world.owner("a"), Label.SERVER: "server1", Label.BOT_ID: "bot-1"}


async def test_the_volumes_content_outlives_the_container(docker_world: DockerWorld) -> None:
    engine = docker_world.engine()
    spec = bot_spec(docker_world)
    spec.env["PROGRAM"] = "f = open('/auth/kept', 'a+'); f.write('x'); f.seek(0); print(f.read(), flush=True)"
    await engine.ensure_network(spec.network)
    for expected in ("x", "xx"):
        await engine.start(await engine.create(spec))

        async def written(expected: str = expected) -> bool:
            return await engine.logs(spec.name, tail=1) == [expected]

        await until(written, f"the file on the volume holds {expected}")
        await engine.remove(spec.name)
