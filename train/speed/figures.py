"""What `make bench` measures, as figures with a unit and, where one was set, an aim."""

from dataclasses import asdict, dataclass

NAME_WIDTH = 60
BOUNDS = ("at_least", "at_most")


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        at_least, at_most: the aim, or None.
    """

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self):
        """Whether the aim was met; None without one."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def as_dict(self):
        return {name: value for name, value in asdict(self).items() if value is not None} | (
            {} if self.met is None else {"met": self.met}
        )


def line(figure):
    """A figure as a line of a table."""
    aim = f"at least {figure.at_least:g}" if figure.at_least is not None else ""
    aim += f"at most {figure.at_most:g}" if figure.at_most is not None else ""
    aim = f"   aim: {aim}, {'met' if figure.met else 'MISSED'}" if aim else ""
    digits = 2 if abs(figure.value) < 10 else 1
    return f"{figure.name:<{NAME_WIDTH}} {figure.value:10.{digits}f} {figure.unit:<10}{aim}".rstrip()


def markdown(results):
    """The figures of all parts as one Markdown text.

    Args:
        results: {"machine": ..., "parts": part -> list of :meth:`Figure.as_dict`}.
    """
    machine = ", ".join(f"{name} {value}" for name, value in results["machine"].items() if value)
    lines = ["# Speed", "", f"Made by `make bench` on: {machine}. Each part is one run; compare within a part.", ""]
    for part, figures in results["parts"].items():
        lines += [f"## {part}", "", "| | | | aim |", "|---|---:|---|---|"]
        for figure in figures:
            bound = next((f"{key.replace('_', ' ')} {figure[key]:g}" for key in BOUNDS if key in figure), "")
            met = {True: ", met", False: ", **missed**", None: ""}[figure.get("met")]
            lines.append(f"| {figure['name']} | {figure['value']:,.4g} | {figure['unit']} | {bound}{met} |")
        lines.append("")
    return "\n".join(lines)
