"""Unified pre-training of image and text encoder on image-text pairs: contrastive + masked language modelling.

Paper section 3.3, equations 1-3. The dataset needs the columns `image` and `captions`, as LUPerson-T has them.

    accelerate launch train/pretrain.py --config train/configs/pretrain_tiny.yaml \\
        --dataset luperson-t --output_dir runs/pretrained

Kill it and run the same command again: it goes on from its last checkpoint. With --max_steps 0 it writes the model that
pre-training would start from, which is the baseline without person pre-training.
"""

from dataclasses import dataclass, field
from typing import Literal

from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.engine.arguments import parse_arguments, require
from unipt_train.engine.run_arguments import RunArguments, make_accelerator, make_schedulers, set_up_model


@dataclass
class PretrainArguments(RunArguments):
    dataset: str | None = field(default=None, metadata={"help": "folder or Hub name of a dataset of image-text pairs"})
    output_dir: str | None = field(default=None, metadata={"help": "folder for the pre-trained model; must be new"})
    split: str = field(default="train", metadata={"help": "split of the dataset"})
    vision_model: str | None = field(default=None, metadata={"help": "folder or Hub name of a ViT-like encoder"})
    text_model: str | None = field(default=None, metadata={"help": "folder or Hub name of a BERT-like encoder"})
    random_init: bool = field(
        default=False, metadata={"help": "take only the encoders' architecture, not their weights"}
    )
    image_height: int = field(default=384, metadata={"help": "pixels"})
    image_width: int = field(default=128, metadata={"help": "pixels"})
    max_text_tokens: int = field(default=100, metadata={"help": "longer captions are truncated"})
    projection_dim: int = field(default=768, metadata={"help": "size of the shared embedding"})
    logit_scale: float = field(default=1.0, metadata={"help": "scale (1 / temperature) of the cosine similarity"})
    learnable_logit_scale: bool = field(default=False, metadata={"help": "learn the scale, from --logit_scale on"})
    centre_embeddings: bool = field(
        default=False, metadata={"help": "start with projections shifted so that embeddings have mean zero"}
    )
    mlm_loss_weight: float = field(default=1.0, metadata={"help": "beta of equation 3; 0 leaves MLM out"})
    fresh_captions: bool = field(
        default=False, metadata={"help": "write a new caption each epoch from the dataset's attributes"}
    )
    caption_recipe: Literal["paper", "best"] = field(
        default="best", metadata={"help": "whose templates --fresh_captions takes: those the dataset was built with"}
    )
    attributes: str | None = field(
        default=None,
        metadata={"help": "vocabulary file of the dataset, for --fresh_captions (default: the one of people)"},
    )
    exclude_repeats: bool = field(
        default=False, metadata={"help": "pairs of the same image (near-duplicates too) or text are no negatives"}
    )
    weigh_negatives: bool = field(
        default=False, metadata={"help": "a negative counts less, the surer the dataset is that it fits as well"}
    )
    mask_contrast: bool = field(
        default=False, metadata={"help": "contrast the masked text too: one text pass a step instead of two"}
    )
    attribute_loss_weight: float = field(
        default=0.0, metadata={"help": "weight of a loss that reads the attributes off both embeddings"}
    )
    batch_size: int = field(default=512, metadata={"help": "pairs a step, over all processes"})
    epochs: float = field(default=15, metadata={"help": "passes over the dataset, unless --max_steps is given"})
    max_steps: int = field(default=-1, metadata={"help": "number of steps; -1: by --epochs"})
    learning_rate: float = field(default=1e-5, metadata={"help": "peak rate of AdamW"})
    muon_learning_rate: float | None = field(
        default=None, metadata={"help": "train the matrices inside transformer layers by Muon at this peak rate"}
    )
    weight_decay: float = field(default=0.01, metadata={"help": "not applied to biases and norms"})


CENTRING_PAIRS = 256


def build_model(arguments):
    """The model that pre-training starts from, and its processor."""
    import math

    from transformers import AutoConfig, AutoTokenizer

    from modeling_unipt import UniPTConfig, UniPTForPreTraining, UniPTImageProcessor, UniPTProcessor
    from unipt_train.objectives.initialisation import start_from_sine_cosine_positions

    options = {
        "projection_dim": arguments.projection_dim,
        "logit_scale_init_value": math.log(arguments.logit_scale),
        "learnable_logit_scale": arguments.learnable_logit_scale,
        "mlm_loss_weight": arguments.mlm_loss_weight,
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(arguments.text_model, model_max_length=arguments.max_text_tokens)
        if arguments.random_init:
            vision_config = AutoConfig.from_pretrained(arguments.vision_model)
            text_config = AutoConfig.from_pretrained(arguments.text_model)
            vision_config = getattr(vision_config, "vision_config", vision_config)
            model = UniPTForPreTraining(
                UniPTConfig(text_config=text_config.to_dict(), vision_config=vision_config.to_dict(), **options)
            )
            positions = model.unipt.vision_model.embeddings.position_embeddings
            size = vision_config.image_size  # the encoder's own; images of another size get interpolated positions
            height, width = (size, size) if isinstance(size, int) else size
            start_from_sine_cosine_positions(positions, *model.unipt.patch_grid(height, width))
        else:
            model = UniPTForPreTraining.from_vision_text_pretrained(
                arguments.vision_model, arguments.text_model, **options
            )
    except OSError as error:
        raise UserError(
            f"encoders '{arguments.vision_model}' and '{arguments.text_model}' cannot both be loaded, neither as "
            f"folders nor from the Hub: {str(error).strip().splitlines()[0]}"
        ) from None
    size = {"height": arguments.image_height, "width": arguments.image_width}
    return model, UniPTProcessor(image_processor=UniPTImageProcessor(size=size), tokenizer=tokenizer)


def check(arguments):
    """Refuse what can be known to be wrong before anything is loaded."""
    require(arguments, "dataset", "output_dir", "vision_model", "text_model")
    if arguments.batch_size < 2:
        raise UserError(
            f"--batch_size {arguments.batch_size} is too small: a contrastive loss compares a pair with others"
        )
    for name in ("weigh_negatives", "attribute_loss_weight"):
        if getattr(arguments, name) and not arguments.fresh_captions:
            raise UserError(f"--{name} needs --fresh_captions: only of those is it known what they tell")
    if arguments.mask_contrast and not arguments.mlm_loss_weight:
        raise UserError("--mask_contrast needs the masked text, so --mlm_loss_weight must not be 0")
    if arguments.attribute_loss_weight < 0:
        raise UserError(f"--attribute_loss_weight {arguments.attribute_loss_weight} must not be negative")
    if arguments.logit_scale <= 0:
        raise UserError(f"--logit_scale {arguments.logit_scale} must be positive")


def build_pairs(rows, processor, arguments):
    """The training samples, and the :class:`unipt_train.objectives.attribute_facts.AttributeFacts` that they hold, or None."""
    from dataset_builders.combine.sampler import CaptionSampler
    from dataset_builders.divide.reading import load_vocabulary
    from unipt_train.data.pairs import PretrainingPairs
    from unipt_train.objectives.attribute_facts import AttributeFacts

    sampler, facts = None, None
    if arguments.fresh_captions:
        vocabulary = load_vocabulary(arguments.attributes)
        sampler = CaptionSampler(vocabulary, vocabulary.templates_for(arguments.caption_recipe))
        if arguments.weigh_negatives or arguments.attribute_loss_weight:
            facts = AttributeFacts(vocabulary, list(rows.features["attribute_probabilities"]))
    return PretrainingPairs(rows, processor, arguments.seed, sampler, facts, arguments.exclude_repeats), facts


def columns_needed(arguments):
    """Names of the dataset's columns that the options ask for."""
    columns = ["image", "captions"]
    if arguments.fresh_captions:
        columns += ["image_id", "attributes"]
    if arguments.weigh_negatives or arguments.attribute_loss_weight:
        columns += ["attribute_probabilities"]
    return columns + (["image_id", "duplicate_of"] if arguments.exclude_repeats else [])


def plan(arguments, rows, accelerator):
    """One sentence about what will be done; the global batch of a small dataset is all of it."""
    batch = min(arguments.batch_size, rows)
    share = batch // accelerator.num_processes
    return (
        f"pre-training on {rows} pairs for {arguments.max_steps} steps, precision {accelerator.mixed_precision}; "
        f"global batch {batch}: {accelerator.num_processes} process(es) x {share} pairs, "
        f"{min(arguments.chunk_size or share, share)} in a forward pass; {batch - 1} negatives a query"
    )


def main(argv=None):
    arguments = parse_arguments(PretrainArguments, __doc__, argv)
    check(arguments)

    from accelerate.utils import set_seed

    from unipt_train.data.pairs import Collator, load_rows, steps_per_epoch
    from unipt_train.engine.loop import claim_output, run_training, save_result, start_tracking
    from unipt_train.engine.optimizers import build_optimizers
    from unipt_train.objectives.initialisation import centre_embeddings
    from unipt_train.objectives.pretraining import PretrainingObjective

    rows = load_rows(arguments.dataset, arguments.split, columns_needed(arguments))
    if arguments.max_steps < 0:
        arguments.max_steps = int(arguments.epochs * steps_per_epoch(len(rows), arguments.batch_size))
    accelerator = make_accelerator(arguments)
    set_seed(arguments.seed)
    model, processor = build_model(arguments)
    if arguments.learnable_logit_scale and accelerator.distributed_type == "FSDP":
        raise UserError("FSDP cannot hold a learnable logit_scale, a single number; launch with DDP, or give false")
    set_up_model(model, arguments)
    pairs, facts = build_pairs(rows, processor, arguments)
    collator = Collator(processor.tokenizer.pad_token_id)
    if arguments.centre_embeddings:
        centre_embeddings(model.unipt, collator([pairs[0, index] for index in range(min(len(pairs), CENTRING_PAIRS))]))
    folder = claim_output(accelerator, arguments, {"command": "pretrain", "rows": len(rows)})
    if folder is None:
        return
    start_tracking(accelerator, folder)
    objective = PretrainingObjective(model, arguments, facts)
    optimizers = build_optimizers(
        objective, {}, arguments.learning_rate, arguments.weight_decay, (0.9, 0.98), arguments.muon_learning_rate
    )
    accelerator.print(plan(arguments, len(rows), accelerator))

    trained, log = run_training(
        accelerator,
        objective,
        optimizers,
        make_schedulers(optimizers, arguments),
        pairs,
        collator,
        arguments,
        folder,
    )
    save_result(accelerator, trained, model, processor, log, "Pre-training", folder, arguments.output_dir)


if __name__ == "__main__":
    run_command(main)
