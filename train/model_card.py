"""Write the model card of a trained UniPT folder from what was measured and from the folder's own records; publish it.

    python train/evaluate_retrieval.py --model my-unipt-cuhk --dataset cuhk-pedes --output evaluation.json
    python train/model_card.py --model my-unipt-cuhk --evaluation evaluation.json --license cc-by-nc-4.0 \\
        --hardware "8 x A100 80 GB" --push-to-hub me/unipt-cuhk

The card is README.md in the folder. It holds the results, also as model-index; the training data; the settings of each
training as build_settings.json has them; hours by the training log; and what the model may be used for. Other models of
the evaluation stand in the table for comparison. The card says of everything that is not known that it was not recorded
or not measured. Folders are named by their last part, so that no path of this machine is published; build_settings.json
itself is not sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.engine.arguments import parse_arguments, require
from unipt_train.publishing.card import ABOUT, Facts, read_records, write_model_card
from unipt_train.publishing.hub_model import HubModel


@dataclass
class CardArguments:
    model: str | None = field(default=None, metadata={"help": "folder of the trained UniPT model"})
    evaluation: list[str] | None = field(
        default=None, metadata={"help": "JSON files of train/evaluate_retrieval.py that hold results of this model"}
    )
    name: str | None = field(default=None, metadata={"help": "title of the card; default: the folder's name"})
    license: str = field(default="other", metadata={"help": "licence of the weights, as the Hub names it"})
    about: str | None = field(
        default=None, metadata={"help": "Markdown file with the text below the title; default: a sentence about UniPT"}
    )
    hardware: str | None = field(
        default=None, metadata={"help": "what the model was trained on; default: not recorded"}
    )
    energy_kwh: float | None = field(
        default=None, metadata={"help": "energy of the training in kWh; default: not measured"}
    )
    push_to_hub: str | None = field(default=None, metadata={"help": "NAMESPACE/NAME of a model repository to send to"})
    private: bool = field(default=False, metadata={"help": "make that repository private"})


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(CardArguments, __doc__, argv)
    require(arguments, "model", "evaluation")
    if arguments.private and not arguments.push_to_hub:
        raise UserError("--private belongs to --push-to-hub")

    about = ABOUT
    if arguments.about:
        try:
            about = Path(arguments.about).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--about {arguments.about} cannot be read: {error}") from None
    records = read_records(arguments.evaluation)
    # Without the right to write there, the command ends before it changes the card.
    hub = HubModel(arguments.push_to_hub, arguments.private) if arguments.push_to_hub else None
    facts = Facts(
        about=about,
        name=arguments.name,
        license=arguments.license,
        hardware=arguments.hardware,
        energy_kwh=arguments.energy_kwh,
    )
    write_model_card(arguments.model, records, facts)
    print(f"wrote {Path(arguments.model, 'README.md')}")
    if hub:
        hub.publish(arguments.model)


if __name__ == "__main__":
    run_command(main)
