"""Draws ten texts of this project by seed, for a reader who knows nothing else of it: can he or she say what they mean?

    python .ci/draw_texts.py --seed 1            # with the place of each text
    python .ci/draw_texts.py --seed 1 --bare     # the texts alone, to hand on

Four are docstrings, three are messages (errors, help, log), three are paragraphs of the documentation.
"""

import argparse
import ast
import random
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ("modeling_unipt", "dataset_builders", "train", "space")
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "space/README.md", "unipt/*/README.md", "luperson-t/README.md")
SHARES = {"docstring": 4, "message": 3, "page": 3}
FEWEST_WORDS = 7
SPEAKERS = {"UserError", "info", "warning", "error", "Complaint"}

Text = tuple[str, str]  # place, text


def words_of(node: ast.AST) -> str | None:
    """A string literal, or an f-string with its expressions in braces; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [
            part.value if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}" for part in node.values
        ]
        return "".join(parts)
    return None


def docstrings_and_messages(path: Path) -> Iterator[tuple[str, Text]]:
    """(kind, (place, text)) of one Python file."""
    place = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and (text := ast.get_docstring(node)):
            name = getattr(node, "name", "")
            shown = f"def {name}({ast.unparse(node.args)})" if isinstance(node, ast.FunctionDef) else f"class {name}"
            head = "module" if isinstance(node, ast.Module) else shown
            yield "docstring", (f"{place}: {name}", f"{head}\n{text}")
        elif isinstance(node, ast.Call):
            speaker = getattr(node.func, "attr", getattr(node.func, "id", ""))
            spoken = node.args[:1] if speaker in SPEAKERS else []
            spoken += [keyword.value for keyword in node.keywords if keyword.arg in ("help", "description")]
            for each in spoken:
                if text := words_of(each):
                    yield "message", (f"{place}:{node.lineno}", text)


def paragraphs(path: Path) -> Iterator[Text]:
    """(place, text) of each paragraph of a page that is prose: no table, heading, code or list of links."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    for paragraph in re.split(r"\n\s*\n", text):
        if not re.match(r"\s*[|#<!\[-]|---", paragraph):
            yield path.relative_to(ROOT).as_posix(), " ".join(paragraph.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--bare", action="store_true", help="do not show the places")
    arguments = parser.parse_args()
    found: dict[str, list[Text]] = {kind: [] for kind in SHARES}
    for folder in SOURCE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for kind, text in docstrings_and_messages(path):
                found[kind].append(text)
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            found["page"].extend(paragraphs(path))
    generator = random.Random(arguments.seed)
    number = 0
    for kind, share in SHARES.items():
        long_enough = [text for text in found[kind] if len(text[1].split()) >= FEWEST_WORDS]
        for place, text in generator.sample(long_enough, share):
            number += 1
            print(f"{number}. ({kind}{'' if arguments.bare else ', ' + place})\n{text}\n")


if __name__ == "__main__":
    main()
