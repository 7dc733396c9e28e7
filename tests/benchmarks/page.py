"""Writes docs/benchmarks.md: the table, the machine, the date, and how each figure is measured."""

import inspect
from collections.abc import Sequence
from datetime import UTC, datetime
from types import ModuleType

from tests.benchmarks.figures import (
    adoption,
    approval,
    connecting,
    engine_restart,
    faults,
    groups,
    hostile,
    memory,
    messages,
    outage,
    probing,
    recovery,
    starts,
    traffic,
    visible,
)
from tests.benchmarks.results import Row, footnotes, markdown
from tests.support.processes import ROOT

PATH = ROOT / "docs/benchmarks.md"
_FIGURES: tuple[ModuleType, ...] = (
    starts,
    approval,
    recovery,
    connecting,
    memory,
    probing,
    adoption,
    messages,
    visible,
    traffic,
    engine_restart,
    faults,
    outage,
    groups,
    hostile,
)

_INTRODUCTION = """\
# Benchmarks

Each figure is measured beside its baseline, the least work that anybody would have to do without Botdock. Both are
measured in the same run and alternate, so that other load on the machine affects both. `make bench` repeats the
measurements and rewrites this page; `python -m tests.benchmarks --help` shows how to measure only some figures.

- machine: {machine}
- measured: {date} UTC, in {minutes:.0f} minutes

{table}

Values are medians, followed by minimum, maximum and number of measurements. The ratio is that of the medians.
Lines marked as peers have no goal: they are other programs on the same machine in the same run, with the same image
and options.
{notes}
## How it is measured

The fleet is one server with default settings, except that its bots may answer without limit: Postgres with commits on
disk, api and controller as processes on this machine, the simulated WhatsApp in a container, and bots in containers
with production limits (half a CPU, 256 MiB). Paired bots keep their sessions over all measurements.
"""


def write(rows: Sequence[Row], *, machine: str, notes: Sequence[str], minutes: float) -> None:
    """Write the page."""
    remarks = "".join(f"\n{note}\n" for note in [*footnotes(rows), *notes])
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    text = _INTRODUCTION.format(machine=machine, date=date, minutes=minutes, table=markdown(rows), notes=remarks)
    PATH.write_text(text + "".join(f"\n{_section(module)}" for module in _FIGURES))


def _section(module: ModuleType) -> str:
    title, _, rest = (inspect.getdoc(module) or "").partition("\n")
    return f"### {title.rstrip('.')}\n{rest}\n"
