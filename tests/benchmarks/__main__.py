"""`python -m tests.benchmarks`: measures every figure beside its baseline and prints one table.

--only FIGURE (repeatable), --sizes 20,50, --quick, --write (docs/benchmarks.md). Exits with 1 if a figure could not be
measured; a missed goal is a valid result.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tests.benchmarks import page, plan
from tests.benchmarks.results import Row, aligned, footnotes

BUDGET_SECONDS = 60 * 60
SPARE_SECONDS = 45
"""Reserved for removing what was started."""


class OutOfTimeError(Exception):
    """The time budget of all figures together is used up."""


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=plan.NAMES, metavar="FIGURE", help=", ".join(plan.NAMES))
    parser.add_argument("--sizes", default="20,50", help="numbers of bots (20,50)")
    parser.add_argument("--quick", action="store_true", help="a quarter of the repetitions")
    parser.add_argument("--write", action="store_true", help="also write docs/benchmarks.md")
    arguments = parser.parse_args()
    sizes = tuple(sorted(int(size) for size in arguments.sizes.split(",")))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    began = time.monotonic()
    try:
        with plan.bench(sizes, quick=arguments.quick) as bench:
            print(f"{bench.machine}\n")
            steps = bench.steps(arguments.only or plan.NAMES)
            rows, complete = _measured(steps, began + BUDGET_SECONDS - SPARE_SECONDS)
    except (Exception, SystemExit):
        if not _asked_to_end:
            raise
        print("\ninterrupted; everything that was started has been removed", file=sys.stderr)
        return 128 + _asked_to_end[0]
    took = time.monotonic() - began
    print("\n".join(["", aligned(rows), "", *footnotes(rows), f"{took / 60:.1f} minutes"]))
    if arguments.write:
        page.write(rows, machine=bench.machine, notes=bench.notes, minutes=took / 60)
        print(f"written: {page.PATH.name}")
    return int(not complete)


_asked_to_end: list[int] = []
"""Received signals: later failures are caused by the clean-up."""


def _end(number: int, _frame: FrameType | None) -> None:
    _asked_to_end.append(number)
    sys.exit(128 + number)


def _measured(steps: Iterator[tuple[str, Callable[[], Iterator[Row]]]], end: float) -> tuple[list[Row], bool]:
    """The rows of all steps, and whether all succeeded; one that fails or runs out of time is a row with a note."""
    rows: list[Row] = []
    complete = True
    for name, measure in steps:
        began = time.monotonic()
        try:
            with _until(end):
                for row in measure():
                    rows.append(row)
                    print(aligned([row]).splitlines()[-1], flush=True)
        except OutOfTimeError:
            complete = False
            rows.append(Row(name, None, None, note="out of time"))
        except Exception as exc:  # noqa: BLE001, RUF100 - the other figures are worth having
            if _asked_to_end:
                raise
            complete = False
            rows.append(Row(name, None, None, note=f"{type(exc).__name__}: {str(exc).splitlines()[0][:200]}"))
            print(f"{name}: {type(exc).__name__}: {exc}", file=sys.stderr)
        print(f"  ({name}: {time.monotonic() - began:.0f} s)", flush=True)
    return rows, complete


@contextmanager
def _until(end: float) -> Iterator[None]:
    """Raise OutOfTimeError inside the block at a monotonic time."""

    def out_of_time(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTimeError

    left = end - time.monotonic()
    if left <= 0:
        raise OutOfTimeError
    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, left)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(main())
