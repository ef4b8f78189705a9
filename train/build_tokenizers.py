"""Write the small WordPiece tokenizer of the tiny text encoder, trained on the English text that this project ships.

    python train/build_tokenizers.py --bert train/configs/bert-tiny

The tokenizer of the tiny CLIP is made by train/train_clip.py.
"""

import argparse
from collections.abc import Sequence

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.user_errors import run_command


def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bert", required=True, help="folder that receives the WordPiece tokenizer")
    arguments = parser.parse_args(argv)

    # Loads transformers, for which --help should not wait.
    from unipt_train.data.tokenizers import bert_tokenizer, corpus

    lines = corpus()
    bert_tokenizer(lines).save_pretrained(arguments.bert)
    print(f"trained on {len(lines)} strings; wrote {arguments.bert}")


if __name__ == "__main__":
    run_command(main)
