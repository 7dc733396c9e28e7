"""Measurements, their goals, and the table that shows them. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

HEADER = ("figure", "N", "measured", "baseline", "ratio", "goal", "ok")


class Unit(StrEnum):
    """The unit in which a sample is shown. Values are stored in seconds and bytes."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    """Stored in seconds, shown in milliseconds."""
    MEMORY = "MiB"
    """Stored in bytes, shown in MiB."""
    COUNT = ""


_FACTOR = {Unit.SECONDS: 1.0, Unit.MILLISECONDS: 1e3, Unit.MEMORY: 1 / (1 << 20), Unit.COUNT: 1.0}
_DIGITS = {Unit.SECONDS: 2, Unit.MILLISECONDS: 2, Unit.MEMORY: 1, Unit.COUNT: 0}


@dataclass(frozen=True, slots=True)
class Sample:
    """Repeated measurements of one thing."""

    values: tuple[float, ...]
    unit: Unit

    @property
    def median(self) -> float:
        """The median, which a single disturbed measurement does not change."""
        return median(self.values)

    def __str__(self) -> str:
        text = f"{self._show(self.median)} {self.unit}".rstrip()
        if len(self.values) == 1:
            return text
        return f"{text} ({self._show(min(self.values))}–{self._show(max(self.values))}, {len(self.values)}×)"

    def _show(self, value: float) -> str:
        shown = value * _FACTOR[self.unit]
        return f"{shown:.{0 if shown >= 100 else _DIGITS[self.unit]}f}"


class Kind(StrEnum):
    """How a measurement is compared with its goal."""

    RATIO = "ratio"
    """At most so many times the baseline."""
    MORE = "more"
    """At most so many seconds longer than the baseline."""
    MOST = "most"
    """At most that value, whatever the baseline."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit, in the unit in which the sample stores its values."""

    kind: Kind
    limit: float

    def met(self, measured: Sample, floor: Sample | None) -> bool:
        """Whether the median is within the limit. Raises ValueError if the goal needs a baseline and there is none."""
        if self.kind is Kind.MOST:
            return measured.median <= self.limit
        if floor is None:
            raise ValueError(f"a goal of kind {self.kind} needs a baseline")
        if self.kind is Kind.RATIO:
            return measured.median <= self.limit * floor.median
        return measured.median <= floor.median + self.limit

    def text(self, unit: Unit) -> str:
        """The limit, as the table shows it."""
        shown = f"{self.limit * _FACTOR[unit]:g} {unit}".rstrip()
        return {
            Kind.RATIO: f"≤ {self.limit:g} ×",
            Kind.MORE: f"≤ + {self.limit * 1000:g} ms",
            Kind.MOST: f"≤ {shown}",
        }[self.kind]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Without a goal it is a peer or an additional figure; without a sample, `note` states why
    it was not measured."""

    figure: str
    size: int | None
    measured: Sample | None
    floor: Sample | None = None
    goal: Goal | None = None
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the goal is met; None if there is no goal. A missing measurement does not meet its goal."""
        if self.goal is None:
            return None
        return self.measured is not None and self.goal.met(self.measured, self.floor)

    def cells(self) -> tuple[str, ...]:
        """The text of each cell."""
        ratio = ""
        if self.measured is not None and self.floor is not None:
            ratio = f"{self.measured.median / self.floor.median:.2f} ×"
            if self.goal is not None and self.goal.kind is Kind.MORE:
                ratio = f"{(self.measured.median - self.floor.median) * 1000:+.0f} ms"
        measured = "not measured" if self.measured is None else str(self.measured)
        unit = Unit.COUNT if self.measured is None else self.measured.unit
        return (
            self.figure,
            "" if self.size is None else str(self.size),
            measured,
            "" if self.floor is None else str(self.floor),
            ratio,
            "" if self.goal is None else self.goal.text(unit),
            {True: "yes", False: "NO", None: ""}[self.ok],
        )


def quantile(values: Iterable[float], share: float) -> float:
    """The value that this share of all values does not exceed. Raises IndexError if there are no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def aligned(rows: Iterable[Row]) -> str:
    """The table for a terminal."""
    lines = [HEADER, *(row.cells() for row in rows)]
    widths = _widths(lines)
    rule = tuple("─" * width for width in widths)
    return "\n".join("  ".join(_padded(line, widths)).rstrip() for line in (lines[0], rule, *lines[1:]))


def markdown(rows: Iterable[Row]) -> str:
    """The same table for the documentation."""
    lines = [HEADER, *(row.cells() for row in rows)]
    widths = _widths(lines)
    rule = tuple("-" * width for width in widths)
    return "\n".join(f"| {' | '.join(_padded(line, widths))} |" for line in (lines[0], rule, *lines[1:]))


def footnotes(rows: Iterable[Row]) -> list[str]:
    """Why some rows have no value."""
    return [
        f"{' '.join(filter(None, [row.figure.strip(), str(row.size or '')]))}: not measured, {row.note}"
        for row in rows
        if row.measured is None
    ]


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
