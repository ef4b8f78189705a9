"""Measures how the code is written, in the five figures by which this project compares itself with others.

python .ci/handwriting.py              # the source folders of this clone
python .ci/handwriting.py OTHER_CLONE  # those of another one
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

SOURCE = ("modeling_unipt", "dataset_builders", "train", "space")
DIRECTIVES = ("# noqa", "# fmt", "# type")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def count(text: str) -> Counter[str]:
    """What one Python file holds: lines, comments, arguments, annotated ones, and so on."""
    counts = Counter(lines=text.count("\n"))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        counts["comments"] += token.type == tokenize.COMMENT and not token.string.startswith(DIRECTIVES)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, FUNCTIONS):
            counts["local imports"] += sum(isinstance(inner, ast.Import | ast.ImportFrom) for inner in ast.walk(node))
            if not node.name.startswith("_"):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                arguments = [argument for argument in arguments if argument.arg not in ("self", "cls")]
                counts["arguments"] += len(arguments)
                counts["annotated"] += sum(argument.annotation is not None for argument in arguments)
                counts["functions"] += 1
                counts["returns"] += node.returns is not None
        elif isinstance(node, ast.Assign):
            counts["parallel"] += isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)
        counts["comprehensions"] += isinstance(node, COMPREHENSIONS)
    return counts


def row(name: str, counts: Counter[str]) -> str:
    """One line of the table."""
    lines = max(1, counts["lines"])
    cells = [
        name,
        f"{counts['lines']:,}",
        f"{100 * counts['comments'] / lines:.1f}",
        f"{100 * counts['annotated'] / max(1, counts['arguments']):.0f} %",
        f"{100 * counts['returns'] / max(1, counts['functions']):.0f} %",
        f"{1000 * counts['local imports'] / lines:.1f}",
        f"{1000 * counts['parallel'] / lines:.1f}",
        f"{1000 * counts['comprehensions'] / lines:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    head = ["folder", "lines", "comments /100 lines", "annotated arguments", "annotated returns"]
    head += ["imports inside functions /1000", "`a, b = c, d` /1000", "comprehensions /1000"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    total = Counter()
    for folder in (*SOURCE, "tests"):
        counts = Counter()
        for path in sorted((root / folder).rglob("*.py")):
            counts += count(path.read_text(encoding="utf-8"))
        if folder != "tests":
            total += counts
        print(row(folder, counts))
    print(row("all source", total))


if __name__ == "__main__":
    main()
