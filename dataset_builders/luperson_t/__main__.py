"""Build LUPerson-T: unlabelled images of people -> pseudo-texts, by divide, conquer and combine (UniPT, section 3.1).

python -m dataset_builders.luperson_t --images MY_CROPS --scorer openai/clip-vit-base-patch16 --output my-luperson-t
torchrun --nproc-per-node 8 -m dataset_builders.luperson_t ...      # one process for each GPU
python -m dataset_builders.luperson_t ... --push-to-hub ME/MY_DATASET --private      # also of a complete OUTPUT
"""

from collections.abc import Sequence

from modeling_unipt.common.user_errors import run_command

from ..output.hub import HubDataset
from ..report.statistics import Statistics
from .options import parse


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; None stands for this process's own command line.

    Raises:
        UserError: see :func:`dataset_builders.luperson_t.options.parse`, ``make_plan`` and ``build``.
    """
    options = parse(argv)
    # Only now: torch and transformers take seconds, and neither --help nor a mistyped option needs them.
    from .build import build
    from .plan import make_plan

    plan = make_plan(options)
    hub = HubDataset(options.push_to_hub, options.private) if options.push_to_hub else None
    outcome = build(plan, hub)
    if outcome.state == "left to others":
        print(
            f"process {plan.team.rank} of {plan.team.size} is done; {options.output} appears when the others are, too"
        )
    if outcome.statistics is not None:
        print(f"wrote {options.output}: {_summary(outcome.statistics)}")
    # A complete output may be published by any process; the one of rank 0 does it.
    if hub and (outcome.state == "written" or (outcome.state == "complete before" and plan.team.rank == 0)):
        hub.publish(options.output)


def _summary(statistics: Statistics) -> str:
    parts = [f"{statistics.images} images, {statistics.captions} captions"]
    if statistics.rejected:
        parts.append(f"{statistics.rejected} files were refused, see rejected.jsonl in it")
    if statistics.duplicates:
        parts.append(f"{statistics.duplicates} are near-duplicates of others")
    return "; ".join(parts)


if __name__ == "__main__":
    run_command(main)
