"""Reading the ``excludes`` of a vocabulary file: which values are never true of one image together."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modeling_unipt.common.words import nearest

from .vocabulary import Attribute, Exclusion
from .yaml_file import Complaint


@dataclass(frozen=True)
class _Side:
    """One half of an exclusion: a field of an attribute, and some of its values."""

    attribute: Attribute
    field: str
    values: frozenset[str]


def read_exclusions(complain: Complaint, lines: Any, attributes: Mapping[str, Attribute]) -> tuple[Exclusion, ...]:
    """The exclusions of lines such as ``{action: [standing, walking], with: {vehicle: any}}``.

    Args:
        lines: the list under ``excludes``.
        attributes: all attributes of the file, by name.

    Raises:
        UserError: a field or value is unknown, a value would exclude itself, or a required attribute would be left
            without a value; file and line are named.
    """
    if not isinstance(lines, list):
        raise complain(lines, "'excludes' must be a list of lines like {field: value, with: {field: value}}")
    owners = {field: attribute for attribute in attributes.values() for field in attribute.fields}
    exclusions = []
    # (a field, its value, the field of a required attribute) -> the values that the latter then cannot have
    impossible = defaultdict(set)
    for line in lines:
        if not isinstance(line, dict) or "with" not in line:
            raise complain(line, "an exclusion must be a mapping like {field: value, with: {field: value}}")
        first = _side(complain, line, {key: value for key, value in line.items() if key != "with"}, owners)
        second = _side(complain, line, line["with"], owners)
        if first.field == second.field:
            both = sorted(first.values & second.values)
            what = f"'{both[0]}' from itself" if both else "one value from another, which never occur together anyhow"
            raise complain(line, f"the exclusion excludes {first.field} {what}")
        exclusions.append(
            Exclusion(
                attributes=(first.attribute.name, second.attribute.name),
                fields=(first.field, second.field),
                values=(first.values, second.values),
            )
        )
        for side, other in ((first, second), (second, first)):
            if other.attribute.required:
                _note_impossible(complain, line, side, other, impossible)
    return tuple(exclusions)


def _note_impossible(
    complain: Complaint,
    line: Any,
    side: _Side,
    other: _Side,
    impossible: dict[tuple[str, str, str], set[str]],
) -> None:
    """Add to ``impossible`` what ``other`` cannot be; complain if nothing is left that it could be."""
    for value in sorted(side.values):
        excluded = impossible[side.field, value, other.field]
        excluded |= other.values
        if excluded == other.attribute.values(other.field):
            raise complain(
                line,
                f"where {side.field} is '{value}', the exclusions leave {other.field} no value, yet it needs one",
            )


def _side(complain: Complaint, line: Any, node: Any, owners: Mapping[str, Attribute]) -> _Side:
    """The half of an exclusion that ``node``, a mapping of one field, describes."""
    if not isinstance(node, dict) or len(node) != 1:
        raise complain(line, "each side of an exclusion must name one field: {field: value, with: {field: value}}")
    ((field, wanted),) = node.items()
    if field not in owners:
        raise complain(line, f"an exclusion names an unknown field '{field}'{nearest(field, owners)}")
    possible = owners[field].values(field)
    if wanted == "any":
        return _Side(owners[field], field, frozenset(possible))
    values = wanted if isinstance(wanted, list) else [wanted]
    for value in values:
        if str(value) not in possible:
            hint = nearest(value, possible)
            raise complain(line, f"an exclusion asks whether {field} is '{value}', which it never is{hint}")
    if not values:
        raise complain(line, f"an exclusion lists no value of {field}")
    return _Side(owners[field], field, frozenset(map(str, values)))
