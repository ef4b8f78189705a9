"""Run by torchrun: each process embeds its share of a split, and writes what it has of the whole to a safetensors file.

torchrun --nproc-per-node 2 -m tests.helpers.shared_embedding MODEL DATASET OUTPUT
"""

import sys

import torch

BATCH = 5


def main():
    from accelerate import Accelerator
    from safetensors.torch import save_file

    from modeling_unipt import load_unipt
    from unipt_train.data.loading import load_rows
    from unipt_train.evaluation.measure import embed_rows

    torch.set_num_threads(1)
    folder, dataset, output = sys.argv[1:]
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    model, processor = load_unipt(folder)
    passed = {"texts_passed": 0, "images_passed": 0}
    for name, encoder in (("texts_passed", model.text_model), ("images_passed", model.vision_model)):

        def count(module, given, outputs, name=name):
            passed[name] += len(outputs.last_hidden_state)

        encoder.register_forward_hook(count)
    rows = load_rows(dataset, "validation", ["captions"])
    embedded = embed_rows(model, processor, rows, BATCH, accelerator=accelerator)
    found = {"texts": torch.from_numpy(embedded.text_embeds), "images": torch.from_numpy(embedded.image_embeds)}
    found |= {name: torch.tensor(count) for name, count in passed.items()}
    save_file(found, f"{output}-{accelerator.process_index}.safetensors")
    accelerator.end_training()


if __name__ == "__main__":
    main()
