"""The machine that the figures were measured on, and the resources that its processes and containers use."""

import os
import platform
import time
from pathlib import Path

import docker


def describe(client: docker.APIClient) -> str:
    """Cores, memory, kernel, engine and load, in one line."""
    info, version = client.info(), client.version()
    cgroup = f"cgroup v{info.get('CgroupVersion', '1')}"
    return (
        f"{os.cpu_count()} cores ({_processor()}), {info['MemTotal'] / (1 << 30):.0f} GiB of memory, "
        f"Linux {platform.release()}, {cgroup}, Docker engine {version['Version']} ({info['Driver']}), "
        f"Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process so far, by the kernel's clock for it (nanoseconds, not ticks)."""
    return time.clock_gettime((~pid << 3) | 2)


def resident_bytes(pid: int) -> int:
    """A process's resident set, shared pages included."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """The peak of the resident sets of a container's first process and of its children, each on its own."""
    family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    return sum(_status(member, "VmHWM") for member in family)


def forget_peak(pid: int) -> None:
    """Let the peak of a process begin with its present resident set."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def cgroup_bytes(pid: int) -> int:
    """The memory charged to the cgroup of a container's process, without page cache."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            folder = Path(f"/sys/fs/cgroup/memory{path}")
            return int((folder / "memory.usage_in_bytes").read_text()) - _stat(folder, "total_cache")
    folder = Path(f"/sys/fs/cgroup{path}")
    return int((folder / "memory.current").read_text()) - _stat(folder, "file")


def cgroup_cpu_seconds(pid: int) -> float:
    """The CPU time that the cgroup of a container's process has used so far."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpuacct" in controllers.split(","):
            return int(Path(f"/sys/fs/cgroup/cpuacct{path}/cpuacct.usage").read_text()) / 1e9
    usage = Path(f"/sys/fs/cgroup{path}/cpu.stat").read_text().splitlines()[0]
    return int(usage.removeprefix("usage_usec ")) / 1e6


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise ProcessLookupError(f"process {pid} has no memory")


def _stat(folder: Path, name: str) -> int:
    for line in (folder / "memory.stat").read_text().splitlines():
        key, value = line.split()
        if key == name:
            return int(value)
    raise KeyError(f"{folder}/memory.stat has no {name}")
