"""Run by torchrun: every pair of towers takes two steps over all processes, is saved and loaded again.

torchrun --nproc-per-node 2 -m tests.helpers.tower_matrix_ranks TOWERS OUTPUT

TOWERS is a folder for the towers, which the first process writes; OUTPUT becomes a JSON file with one record a pair.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from transformers import AutoModel, AutoProcessor

from tests.helpers.people import draw_person
from tests.helpers.towers import TEXT, VISION, write_text_tower, write_vision_tower
from unipt_train.data.batches import Collator
from unipt_train.data.masking import mask_whole_words
from unipt_train.engine.joint_batch import joint_backward
from unipt_train.objectives.build import ModelOptions, build_model
from unipt_train.objectives.pretraining import PretrainingObjective

# Two pairs for each of two processes.
CAPTIONS = ["a young man in a red coat", "a woman", "the child wears a cap", "a man with a bag"]


def batch_of(processor, captions):
    """What the loader makes of captions and drawn people."""
    samples = []
    for number, caption in enumerate(captions):
        encoding = processor.tokenizer(caption)
        ids, labels = mask_whole_words(encoding, processor.tokenizer, np.random.default_rng(number))
        pixels = processor(images=[draw_person(number)], return_tensors="pt")["pixel_values"][0]
        samples.append(
            {"input_ids": encoding["input_ids"], "mlm_input_ids": ids, "mlm_labels": labels, "pixel_values": pixels}
        )
    return Collator(processor.tokenizer.pad_token_id)(samples)


@torch.no_grad()
def embeddings(model, batch):
    texts = model.get_text_features(batch["input_ids"], batch["attention_mask"]).pooler_output
    return texts, model.get_image_features(batch["pixel_values"]).pooler_output


def try_pair(accelerator, vision, text, folder):
    """A record of one pair: the losses of two steps, and how far embeddings are from those they must equal."""
    torch.manual_seed(0)
    options = ModelOptions(
        model=None,
        vision_model=str(folder / f"vision-{vision}"),
        text_model=str(folder / f"text-{text}"),
        random_init=False,
        image_height=96,
        image_width=32,
        max_text_tokens=100,
        projection_dim=24,
        logit_scale=10.0,
        learnable_logit_scale=True,
        contrastive_loss="softmax",
        mlm_loss_weight=1.0,
    )
    model, processor = build_model(options)
    objective = PretrainingObjective(model.train())
    prepared, optimizer = accelerator.prepare(objective, torch.optim.AdamW(objective.parameters(), lr=1e-3))
    whole = batch_of(processor, CAPTIONS)
    share = len(CAPTIONS) // accelerator.num_processes
    first = accelerator.process_index * share
    own = {name: rows[first : first + share] for name, rows in whole.items()}
    losses = []
    for _ in range(2):
        # DDP raises at the second step if a parameter of the first one got no gradient.
        loss = joint_backward(accelerator, prepared, own)["loss"]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    record = {"vision": vision, "text": text, "losses": losses}
    if accelerator.is_main_process:
        model.eval()
        saved = folder / "saved"
        model.save_pretrained(saved)
        processor.save_pretrained(saved)
        loaded = AutoModel.from_pretrained(saved)
        inputs = AutoProcessor.from_pretrained(saved)(text=CAPTIONS, return_tensors="pt")
        texts, images = embeddings(model, whole)
        texts_again, images_again = embeddings(loaded, whole | dict(inputs))
        record["reloaded"] = max(float((texts - texts_again).abs().max()), float((images - images_again).abs().max()))
        alone = []
        for row, mask in zip(whole["input_ids"], whole["attention_mask"], strict=True):
            length = int(mask.sum())
            alone.append(
                embeddings(model, whole | {"input_ids": row[None, :length], "attention_mask": mask[None, :length]})[0]
            )
        record["padding"] = float((torch.cat(alone) - texts).abs().max())
    accelerator.wait_for_everyone()
    return record


def main():
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    if accelerator.is_main_process:
        for family in VISION:
            write_vision_tower(family, folder / f"vision-{family}")
        for family in TEXT:
            write_text_tower(family, folder / f"text-{family}")
    accelerator.wait_for_everyone()
    records = []
    for vision in VISION:
        for text in TEXT:
            records.append(try_pair(accelerator, vision, text, folder))
            accelerator.free_memory()
    if accelerator.is_main_process:
        Path(sys.argv[2]).write_text(json.dumps(records))


if __name__ == "__main__":
    main()
