"""Writes docs/benchmarks.md: the table, the machine and the date, and how it was measured."""

import inspect
from collections.abc import Sequence
from datetime import UTC, datetime
from types import ModuleType

from tests.benchmarks.figures import (
    adoption,
    approval,
    connecting,
    engine_restart,
    memory,
    messages,
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
)

_INTRODUCTION = """\
# Benchmarks

Each figure is measured side by side with its floor, the least that anybody would have to do without Botdock, in the
same run and in turns, so that a busy machine disturbs both alike. `make bench` measures them again and writes this
page; `python -m tests.benchmarks --help` tells how to measure only some.

- machine: {machine}
- measured: {date} UTC, in {minutes:.0f} minutes

{table}

Values are medians, with lowest, highest and number of measurements behind them. The ratio is that of the medians.
Lines marked as peers have no goal: they are other programs on the same machine in the same run, with the same image
and options.
{notes}
## How it is measured

The fleet is one server under the default settings: Postgres with its commits on disk, api and controller as processes
of this machine, the simulated WhatsApp in a container, bots in containers with the limits of production (half a CPU,
256 MiB). Paired bots keep their sessions over all measurements.
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
