"""Fine-tuning on a person retrieval benchmark: identification + ranking loss (paper section 3.4, equations 4 and 5).

The dataset needs the columns `image`, `captions` and `person_id`; `python -m dataset_builders.benchmarks` writes such.

    accelerate launch train/finetune.py --config train/configs/finetune_tiny.yaml \\
        --model runs/pretrained --dataset runs/demo/cuhk-pedes --output_dir runs/finetuned

Kill it and run the same command again: it goes on from its last checkpoint.
"""

from dataclasses import dataclass, field

from arguments import parse_arguments, require
from modeling_unipt.user_errors import UserError, run_command
from run_arguments import RunArguments, make_accelerator, make_schedulers, set_up_model


@dataclass
class FinetuneArguments(RunArguments):
    model: str | None = field(default=None, metadata={"help": "folder or Hub name of the UniPT model to start from"})
    dataset: str | None = field(default=None, metadata={"help": "folder or Hub name of a benchmark"})
    output_dir: str | None = field(default=None, metadata={"help": "folder for the fine-tuned model; must be new"})
    split: str = field(default="train", metadata={"help": "split of the dataset"})
    batch_size: int = field(default=64, metadata={"help": "captions a step, over all processes"})
    epochs: float = field(default=60, metadata={"help": "passes over the captions, unless --max_steps is given"})
    max_steps: int = field(default=-1, metadata={"help": "number of steps; -1: by --epochs"})
    vision_learning_rate: float = field(default=1e-4, metadata={"help": "peak rate of the image encoder"})
    text_learning_rate: float = field(default=1e-5, metadata={"help": "peak rate of the text encoder"})
    head_learning_rate: float = field(default=1e-4, metadata={"help": "peak rate of projections and classifier"})
    muon_learning_rate: float | None = field(
        default=None, metadata={"help": "train the matrices inside transformer layers by Muon at this peak rate"}
    )
    weight_decay: float = field(default=0.0, metadata={"help": "0 makes AdamW the paper's Adam"})
    margin: float = field(default=0.2, metadata={"help": "alpha of equation 5"})


def build_finetuner(model, identities, margin):
    """Wrap a UniPTModel with the identity classifier that training needs and retrieval does not."""
    import torch

    from losses import identification_loss, ranking_loss

    class Finetuner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model
            self.classifier = torch.nn.Linear(model.config.projection_dim, identities, bias=False)
            torch.nn.init.normal_(self.classifier.weight, std=0.001)

        def forward(self, pixel_values, input_ids, attention_mask, person_index):
            images = self.model.get_image_features(pixel_values=pixel_values).pooler_output
            texts = self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask).pooler_output
            identification = identification_loss(self.classifier(texts), self.classifier(images), person_index)
            ranking = ranking_loss(texts, images, person_index, margin)
            return {
                "loss": identification + ranking,
                "identification_loss": identification,
                "ranking_loss": ranking,
            }

    return Finetuner()


def main(argv=None):
    arguments = parse_arguments(FinetuneArguments, __doc__, argv)
    require(arguments, "model", "dataset", "output_dir")
    if arguments.batch_size < 2:
        raise UserError(
            f"--batch_size {arguments.batch_size} is too small: a ranking loss needs a negative in the batch"
        )

    from accelerate.utils import set_seed

    from data import Collator, IdentityPairs, load_rows, steps_per_epoch
    from modeling_unipt.loading import load_unipt
    from optimizers import build_optimizers
    from training_loop import claim_output, run_training, save_result, start_tracking

    rows = load_rows(arguments.dataset, arguments.split, ["image", "captions", "person_id"])
    model, processor = load_unipt(arguments.model)
    set_up_model(model, arguments)
    pairs = IdentityPairs(rows, processor, arguments.seed)
    if len(pairs.person_ids) < 2:
        raise UserError(
            f"split '{arguments.split}' of '{arguments.dataset}' has a single person_id; nothing to tell apart"
        )
    if arguments.max_steps < 0:
        arguments.max_steps = int(arguments.epochs * steps_per_epoch(len(pairs), arguments.batch_size))
    accelerator = make_accelerator(arguments)
    folder = claim_output(accelerator, arguments, {"command": "finetune", "pairs": len(pairs)})
    if folder is None:
        return
    start_tracking(accelerator, folder)
    set_seed(arguments.seed)
    finetuner = build_finetuner(model, len(pairs.person_ids), arguments.margin)
    rates = {
        "model.vision_model": arguments.vision_learning_rate,
        "model.text_model": arguments.text_learning_rate,
    }
    optimizers = build_optimizers(
        finetuner,
        rates,
        arguments.head_learning_rate,
        arguments.weight_decay,
        (0.9, 0.999),
        arguments.muon_learning_rate,
    )
    accelerator.print(
        f"fine-tuning on {len(pairs)} captions of {len(pairs.person_ids)} people for {arguments.max_steps} steps of "
        f"{arguments.batch_size}, precision {accelerator.mixed_precision}"
    )

    def take_step(prepared, batch, seed):
        losses = prepared(**batch)
        accelerator.backward(losses["loss"])
        return losses

    trained, log = run_training(
        accelerator,
        finetuner,
        optimizers,
        make_schedulers(optimizers, arguments),
        pairs,
        Collator(processor.tokenizer.pad_token_id),
        take_step,
        arguments,
        folder,
    )
    save_result(accelerator, trained, model, processor, log, "Fine-tuning", folder, arguments.output_dir)


if __name__ == "__main__":
    run_command(main)
