"""Reading the ``excludes`` of a vocabulary file: which values are never true of one picture together."""

from collections import defaultdict

from .vocabulary import Exclusion
from .yaml_file import nearest


def read_exclusions(complain, lines, attributes):
    """The :class:`Exclusion` of each line such as ``{action: [standing, walking], with: {vehicle: any}}``.

    Args:
        complain: the file's :class:`dataset_builders.divide.yaml_file.Complaint`.
        lines: the list under ``excludes``.
        attributes: name -> :class:`dataset_builders.divide.vocabulary.Attribute`.
    Raises:
        UserError: a field or value is unknown, a value would exclude itself, or a required attribute would be left
            without a value; file and line are named.
    """
    if not isinstance(lines, list):
        raise complain(lines, "'excludes' must be a list of lines like {field: value, with: {field: value}}")
    owners = {field: attribute for attribute in attributes.values() for field in attribute.fields}
    exclusions = []
    # (field with a value, that value, field of a required attribute) -> what the latter can then not be
    impossible = defaultdict(set)
    for line in lines:
        if not isinstance(line, dict) or "with" not in line:
            raise complain(line, "an exclusion must be a mapping like {field: value, with: {field: value}}")
        first = _side(complain, line, {key: value for key, value in line.items() if key != "with"}, owners)
        second = _side(complain, line, line["with"], owners)
        (field, values), (other_field, other_values) = first, second
        if field == other_field:
            both = sorted(values & other_values)
            what = f"'{both[0]}' from itself" if both else "one value from another, which never occur together anyhow"
            raise complain(line, f"the exclusion excludes {field} {what}")
        exclusions.append(
            Exclusion(
                attributes=(owners[field].name, owners[other_field].name),
                fields=(field, other_field),
                values=(values, other_values),
            )
        )
        for (field, values), (other_field, other_values) in ((first, second), (second, first)):
            owner = owners[other_field]
            for value in sorted(values) if owner.required else ():
                impossible[field, value, other_field] |= other_values
                if impossible[field, value, other_field] == owner.values(other_field):
                    raise complain(
                        line,
                        f"where {field} is '{value}', the exclusions leave {other_field} no value, yet it needs one",
                    )
    return tuple(exclusions)


def _side(complain, line, node, owners):
    """One half of an exclusion: its field and the frozenset of its values."""
    if not isinstance(node, dict) or len(node) != 1:
        raise complain(line, "each side of an exclusion must name one field: {field: value, with: {field: value}}")
    ((field, wanted),) = node.items()
    if field not in owners:
        raise complain(line, f"an exclusion names an unknown field '{field}'{nearest(field, owners)}")
    possible = owners[field].values(field)
    if wanted == "any":
        return field, frozenset(possible)
    wanted = wanted if isinstance(wanted, list) else [wanted]
    for value in wanted:
        if str(value) not in possible:
            hint = nearest(value, possible)
            raise complain(line, f"an exclusion asks whether {field} is '{value}', which it never is{hint}")
    if not wanted:
        raise complain(line, f"an exclusion lists no value of {field}")
    return field, frozenset(map(str, wanted))
