"""What `make bench` measures: figures with a unit and, where one was set, an aim."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from modeling_unipt.common.words import markdown_table

NAME_WIDTH = 64


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        unit: "" for a ratio or a count.
        at_least: the aim from below, or None.
        at_most: the aim from above, or None.
    """

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the aim was met; None without an aim."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def aim(self) -> str:
        """The aim in words, and whether it was met; "" without an aim."""
        words = []
        if self.at_least is not None:
            words.append(f"at least {self.at_least:g}")
        if self.at_most is not None:
            words.append(f"at most {self.at_most:g}")
        return f"{' and '.join(words)}, {'met' if self.met else 'MISSED'}" if words else ""

    def as_dict(self) -> dict[str, Any]:
        """The fields that are set, and whether the aim was met, JSON-able."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        if self.met is not None:
            found["met"] = self.met
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "Figure":
        """The figure that :meth:`as_dict` describes."""
        return cls(**{name: value for name, value in found.items() if name != "met"})


def line(figure: Figure) -> str:
    """A figure as a line on the console."""
    digits = 2 if abs(figure.value) < 10 else 1
    aim = f"   aim: {figure.aim}" if figure.aim else ""
    return f"{figure.name:<{NAME_WIDTH}} {figure.value:10.{digits}f} {figure.unit:<10}{aim}".rstrip()


def table(figures: Iterable[Figure]) -> str:
    """Figures as a Markdown table."""
    rows = []
    for figure in figures:
        rows.append([figure.name, f"{figure.value:,.4g}", figure.unit, figure.aim.replace("MISSED", "**missed**")])
    return markdown_table(["figure", "value", "unit", "aim"], rows)


def markdown(results: Mapping[str, Any]) -> str:
    """The figures of all parts as a page.

    Args:
        results: ``machine``, what it was measured on by name, and ``parts``: part -> list of :meth:`Figure.as_dict`.
    """
    machine = ", ".join(f"{name} {value}" for name, value in results["machine"].items() if value)
    text = f"# Speed\n\nMade by `make bench` on: {machine}. Each part is one run; compare figures of one part only.\n"
    for part, figures in results["parts"].items():
        text += f"\n## {part}\n\n{table(Figure.from_dict(figure) for figure in figures)}\n"
    return text
