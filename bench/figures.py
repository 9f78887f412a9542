"""A measured figure beside what it is measured against and what it is to reach, and the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

HEADS = ("figure", "ours", "floor", "ours : floor", "to reach", "")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    ours: str
    floor: str = ""
    relation: str = ""
    target: str = ""
    met: bool | None = None
    """None where nothing is promised."""

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "met" if self.met else "MISSED"

    @property
    def cells(self) -> tuple[str, ...]:
        return self.name, self.ours, self.floor, self.relation, self.target, self.verdict


def spread(values: Sequence[float], unit: str) -> str:
    """The median, and between which values the middle 80 % lie."""
    middle = f"{median(values):,.1f} {unit}"
    if len(values) < 5:
        return middle
    return f"{middle} ({quantile(values, 10):,.1f}-{quantile(values, 90):,.1f})"


def quantile(values: Sequence[float], percent: int) -> float:
    """The value below which that many percent lie."""
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def ratio(name: str, ours: Sequence[float], floor: Sequence[float], unit: str, *, most: float | None = None) -> Figure:
    """Medians side by side; `most` is what ours may be at most, as a multiple of the floor."""
    value = median(ours) / median(floor)
    return Figure(
        name=name,
        ours=spread(ours, unit),
        floor=spread(floor, unit),
        relation=f"{value:.2f} x",
        target="" if most is None else f"<= {most:g} x",
        met=None if most is None else value <= most,
    )


def difference(name: str, ours: Sequence[float], floor: Sequence[float], unit: str, *, most: float) -> Figure:
    """As `ratio`, by how much ours is more than the floor."""
    value = median(ours) - median(floor)
    return Figure(
        name, spread(ours, unit), spread(floor, unit), f"{value:+.1f} {unit}", f"<= +{most:g} {unit}", value <= most
    )


def rate(name: str, ours: Sequence[float], floor: Sequence[float], unit: str, *, least: float) -> Figure:
    """Medians of which more is better."""
    value = median(ours) / median(floor)
    mine, theirs = (f"{median(side):,.0f} {unit}" for side in (ours, floor))
    return Figure(name, mine, theirs, f"{value:.2f} x", f">= {least:g} x", value >= least)


def table(figures: Sequence[Figure]) -> str:
    """The figures in columns."""
    rows = [HEADS, *(figure.cells for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
