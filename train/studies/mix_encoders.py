"""A UniPT model whose vision encoder comes from one checkpoint and whose text encoder from another.

    python train/studies/mix_encoders.py --vision runs/pretrained --text runs/untrained --output runs/vision-alone

Each encoder keeps its projection. It is the start for measuring what pre-training is worth to one encoder alone.
"""

import argparse

from modeling_unipt.common.user_errors import UserError, run_command

OF_TEXT = ("text_model.", "text_projection.")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vision", required=True, help="folder or Hub name of the UniPT model to take it from")
    parser.add_argument("--text", required=True, help="folder or Hub name of the UniPT model to take it from")
    parser.add_argument("--output", required=True, help="folder for the model; must be new")
    arguments = parser.parse_args(argv)

    from modeling_unipt.common.output_folders import finish_output, start_output
    from modeling_unipt.loading import load_unipt

    folder = start_output(arguments.output, {"command": "mix", **vars(arguments)})
    if folder is None:
        return
    model, processor = load_unipt(arguments.vision)
    other = load_unipt(arguments.text)[0].state_dict()
    taken = {name: weights for name, weights in other.items() if name.startswith(OF_TEXT)}
    try:
        model.load_state_dict(taken, strict=False)
    except RuntimeError:
        raise UserError(f"{arguments.vision} and {arguments.text} differ in architecture and cannot be mixed") from None
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    finish_output(folder, arguments.output)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    run_command(main)
