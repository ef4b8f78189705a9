"""The options of pre-training and fine-tuning, on the command line and in YAML files.

The names are also the keys of `build_settings.json`, by which an output is recognised. So a field that goes, or whose
default changes, must still count with its former default for outputs of older versions.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from dataset_builders.divide.vocabulary import RecipeName
from modeling_unipt.common.number_formats import DTYPE_HELP, DtypeName
from modeling_unipt.common.user_errors import UserError
from unipt_train.engine.arguments import option

# The folder of a tracker that writes files.
TRACKING = "tracking"
# What may change when a killed run is resumed: none of these changes the result.
HOW_IT_RUNS = frozenset(
    {
        "output_dir",
        "chunk_size",
        "gradient_checkpointing",
        "torch_compile",
        "cpu",
        "num_workers",
        "save_steps",
        "log_steps",
        "report_to",
        "threads",
    }
)
# What an output counts as made with if it does not say: what versions without such an option did.
FORMER_BEHAVIOUR = {"decay_positions": True}


@dataclass
class RunArguments:
    """How a run computes, saves and reports: what pre-training and fine-tuning have in common."""

    chunk_size: int = option(
        0, "pairs in one forward pass of a process; 0: all of its share. The losses stay those of the whole batch"
    )
    scheduler: str = option("linear", "learning-rate schedule of transformers that follows the warm-up and ends at 0")
    warmup_ratio: float = option(0.1, "share of the steps in which the learning rate rises")
    weight_decay: float = option(0.0, "weight decay of the matrices; 0 makes AdamW the paper's Adam")
    decay_positions: bool = option(
        False,
        "apply weight decay to class tokens, position embeddings and prototypes too, as versions up to 0.2 did; "
        "biases, norms and single numbers never decay",
    )
    max_grad_norm: float = option(1.0, "gradients are clipped to this norm; 0: no clipping")
    precision: Literal["auto", "no", "bf16", "fp16"] = option(
        "auto",
        "auto: on a GPU bf16 where it is native; on a CPU bf16 or no (float32), whichever takes the shorter step at "
        "the start",
    )
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] = option(
        "sdpa", "how attention is computed; eager trains small models faster on a CPU"
    )
    gradient_checkpointing: bool = option(
        False, "keep fewer activations and compute them again: this needs less memory and is slower"
    )
    torch_compile: bool = option(
        False, "compile the model by torch.compile: training starts slowly and then is faster on GPUs"
    )
    cpu: bool = option(False, "stay on the CPU even where there is a GPU")
    threads: int | None = option(
        None,
        "threads of each process on a CPU (default: OMP_NUM_THREADS where no launcher sets it, else its share of the "
        "cores)",
    )
    seed: int = option(0, "seed of every random choice: new weights, order, flips, dropout")
    num_workers: int = option(1, "processes that load data, for each training process")
    save_steps: int = option(500, "steps between checkpoints; 0: none are written")
    log_steps: int = option(20, "steps between lines of the log")
    report_to: str = option(
        "tensorboard", "tracker of Accelerate, or none; training_log.json holds the same numbers in any case"
    )

    def __post_init__(self) -> None:
        if self.chunk_size < 0:
            raise UserError(f"--chunk-size {self.chunk_size} must not be negative")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"--threads {self.threads} must be at least 1")

    def settings(self) -> dict[str, Any]:
        """The options that shape the result, by name; with others of them the result is another."""
        left_out = HOW_IT_RUNS if self.weight_decay else HOW_IT_RUNS | {"decay_positions"}
        settings = {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}
        if isinstance(settings.get("dataset"), list) and len(settings["dataset"]) == 1:
            # As versions up to 0.3 wrote it, which took a single data set.
            settings["dataset"] = settings["dataset"][0]
        return settings

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """What every option counts as, by name, in an output that does not tell it."""
        return {field.name: field.default for field in dataclasses.fields(cls)} | FORMER_BEHAVIOUR


@dataclass
class PretrainArguments(RunArguments):
    """The options of train/pretrain.py."""

    dataset: list[str] | None = option(None, "folders or Hub names of data sets of image-text pairs, one or several")
    dataset_weights: list[float] | None = option(
        None,
        "how many samples come from each of several data sets, in proportion: 3 1 takes three of the first for each of "
        "the second (default: every row of all of them once in an epoch)",
    )
    caption_backends: list[str] | None = option(
        None, "take only the stored captions that these backends wrote, by the column caption_backends (default: all)"
    )
    min_caption_score: float | None = option(
        None, "take only the stored captions of at least this score, by the column caption_scores (default: all)"
    )
    output_dir: str | None = option(None, "folder for the pre-trained model; must be new")
    split: str = option("train", "split of the data sets")
    model: str | None = option(
        None,
        "folder or Hub name of a whole model to go on from: UniPT, CLIP, SigLIP, or SigLIP 2 of fixed size. It keeps "
        "its own projections, pooling and scale. If it is given, --vision-model and --text-model are not read",
    )
    vision_model: str | None = option(
        None, "folder or Hub name of an image encoder: ViT, DeiT, CLIP, SigLIP, DINOv2, DINOv3 or BEiT"
    )
    text_model: str | None = option(
        None,
        "folder or Hub name of a text encoder: BERT, RoBERTa, XLM-R, DistilBERT, MPNet, ModernBERT, CLIP, SigLIP, or a "
        "decoder such as Qwen3",
    )
    random_init: bool = option(False, "take only the two encoders' architecture, not their weights")
    image_height: int | None = option(
        None, "height to which images are resized, in pixels (default: that of --model, or 384 for two encoders)"
    )
    image_width: int | None = option(
        None, "width to which images are resized, in pixels (default: that of --model, or 128 for two encoders)"
    )
    max_text_tokens: int = option(100, "longer captions are truncated; no more than the text encoder can read")
    projection_dim: int = option(768, "size of the shared embedding of two encoders")
    logit_scale: float = option(1.0, "scale (1 / temperature) of the cosine similarity of two encoders at the start")
    learnable_logit_scale: bool = option(False, "learn the scale of two encoders, which starts at --logit-scale")
    contrastive_loss: Literal["softmax", "sigmoid"] = option(
        "softmax",
        "softmax: equation 1, each pair against all others; sigmoid: SigLIP's, each pair judged alone, with a learned "
        "bias",
    )
    centre_embeddings: bool = option(
        False, "shift the projections of two encoders at the start so that embeddings have mean zero"
    )
    mlm_loss_weight: float = option(1.0, "beta of equation 3; 0 leaves masked language modelling out")
    fresh_captions: bool = option(False, "write a new caption each epoch from the attributes in the dataset")
    caption_recipe: RecipeName = option(
        "best", "recipe whose templates --fresh-captions uses: the one that the dataset was built with"
    )
    attributes: str | None = option(
        None, "vocabulary file of the dataset, for --fresh-captions (default: the shipped one, of people)"
    )
    exclude_repeats: bool = option(
        False, "pairs of the same image, of near-duplicates or of the same text are not each other's negatives"
    )
    weigh_negatives: bool = option(False, "negatives are weighted down when the caption probably fits that image too")
    mask_contrast: bool = option(
        False, "contrast the masked text instead of the whole one: one text pass in a step instead of two"
    )
    attribute_loss_weight: float = option(0.0, "weight of a loss that reads the attributes off both embeddings")
    batch_size: int = option(512, "pairs in a step, over all processes")
    epochs: float = option(15, "passes over the dataset, unless --max-steps is given")
    max_steps: int = option(-1, "number of steps; -1: as many as --epochs makes")
    learning_rate: float = option(1e-5, "peak learning rate of AdamW")
    head_learning_rate: float | None = option(
        None,
        "peak learning rate of the heads that no checkpoint has weights for: the attribute head and, where they are "
        "new, the two projections and the head that predicts words (default: --learning-rate)",
    )
    logit_scale_learning_rate: float | None = option(
        None,
        "peak learning rate of a learned scale and of the sigmoid loss's bias; by the linear schedule the scale's "
        "logarithm can move by about half of this rate times the number of steps (default: --learning-rate)",
    )
    muon_learning_rate: float | None = option(
        None, "train the matrices inside transformer layers by Muon with this peak learning rate"
    )
    weight_decay: float = option(0.01, "weight decay of the matrices")


@dataclass
class FinetuneArguments(RunArguments):
    """The options of train/finetune.py."""

    model: str | None = option(None, "folder or Hub name of the UniPT model to start from")
    dataset: list[str] | None = option(
        None, "folders or Hub names of benchmarks, one or several; people of different ones are different people"
    )
    output_dir: str | None = option(None, "folder for the fine-tuned model; must be new")
    split: str = option("train", "split of the data sets")
    batch_size: int = option(64, "captions in a step, over all processes")
    captions_per_person: int = option(
        0, "captions of each person in a batch; 0: captions are shuffled, whoever they show"
    )
    epochs: float = option(60, "passes over the captions, unless --max-steps is given")
    max_steps: int = option(-1, "number of steps; -1: as many as --epochs makes")
    vision_learning_rate: float = option(1e-4, "peak learning rate of the image encoder")
    text_learning_rate: float = option(1e-5, "peak learning rate of the text encoder")
    head_learning_rate: float = option(1e-4, "peak learning rate of all other parameters")
    muon_learning_rate: float | None = option(
        None, "train the matrices inside transformer layers by Muon with this peak learning rate"
    )
    margin: float = option(0.2, "alpha of equation 5")
    matching_loss: Literal["ranking", "sdm"] = option(
        "ranking", "ranking: the paper's L_rk; sdm: IRRA's similarity distribution matching"
    )
    granularity_loss_weight: float = option(
        1.0, "gamma of equation 7; 0: there are no prototypes, and the model embeds by its pooled tokens"
    )
    num_prototypes: int = option(6, "number of prototypes, if gamma is not 0")
    prototype_dim: int = option(512, "length of each prototype's part of the embedding")
    prototype_layers: int = option(2, "layers of attention from prototypes to tokens")
    prototype_heads: int = option(6, "heads of that attention")
    prototype_head_dim: int = option(512, "length of a query, key and value of a head")
    prototype_mlp_dim: int = option(512, "width of the feed-forward layers of the prototypes")
    eval_steps: int = option(
        500, "steps between measurements on validation, of which the best is saved; 0: the last step is saved"
    )
    validation_split: str | None = option(
        None, "split to choose the checkpoint on (default: val or validation, or else people held out of training)"
    )
    held_out_people: float = option(0.1, "share of the training people that is held out if there is no such split")
    validation_dtype: DtypeName = option("auto", f"of validation: {DTYPE_HELP}")
