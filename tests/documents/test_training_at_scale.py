"""docs/training_at_scale.md and the configurations of accelerate: every command parses, every name exists."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from torch.distributed.run import get_args_parser as torchrun_parser

from dataset_builders.benchmarks import __main__ as benchmarks
from dataset_builders.luperson_t import options as luperson_t_options
from tests.helpers.paths import ROOT
from tests.helpers.small_encoders import write_small_encoders
from unipt_train import evaluate_retrieval, finetune, model_card, pretrain
from unipt_train.engine.arguments import parse_arguments

PAGE = (ROOT / "docs" / "training_at_scale.md").read_text(encoding="utf-8")
ACCELERATE = ROOT / "train" / "configs" / "accelerate"
LAUNCH = ["accelerate", "launch", "--config_file", str(ACCELERATE / "one_gpu.yaml")]
SCRIPTS = {
    "train/pretrain.py": (pretrain.PretrainArguments, pretrain),
    "train/finetune.py": (finetune.FinetuneArguments, finetune),
    "train/evaluate_retrieval.py": (evaluate_retrieval.EvaluateArguments, evaluate_retrieval),
    "train/model_card.py": (model_card.CardArguments, model_card),
}


@pytest.fixture(autouse=True)
def in_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def commands(page):
    """The commands of a page's bash blocks as lists of words."""
    text = "\n".join(re.findall(r"```bash\n(.*?)```", page, re.S)).replace("\\\n", " ")
    return [words for words in (shlex.split(line, comments=True) for line in text.splitlines()) if words]


def parse_script(script, words):
    arguments = parse_arguments(SCRIPTS[script][0], "Doc.", words)
    if script == "train/pretrain.py":
        pretrain.check(arguments)
    return arguments


def parse_module(module, words):
    if module == "dataset_builders.luperson_t":
        return luperson_t_options.parse(words)
    assert module == "dataset_builders.benchmarks"
    return benchmarks.parse(words)


def parse(words):
    """What the command's own parser makes of it; an option that it does not know ends in SystemExit."""
    program, *rest = words
    if program == "accelerate":
        assert rest.pop(0) == "launch"
        launched = launch_command_parser().parse_args(rest)
        load_config_from_file(launched.config_file)
        return parse_script(launched.training_script, launched.training_script_args)
    if program == "torchrun":
        launched = torchrun_parser().parse_args(rest)
        parse_program = parse_module if launched.module else parse_script
        return parse_program(launched.training_script, launched.training_script_args)
    assert program == "python"
    return parse_module(rest[1], rest[2:]) if rest[0] == "-m" else parse_script(rest[0], rest[1:])


def test_every_command_of_the_page_parses():
    found = commands(PAGE)
    assert found[0][:2] == ["pip", "install"]
    parsed = [parse(words) for words in found[1:]]
    assert len(parsed) == 9
    made = {"cuhk-pedes", "icfg-pedes", "rstpreid"}
    for arguments in parsed:  # each reads what one before it has written
        for name in ("dataset", "model", "exclude"):
            value = getattr(arguments, name, None) or []
            for read in [value] if isinstance(value, str) else value:
                assert read in made or read == "openai/clip-vit-base-patch16"
        made |= {getattr(arguments, name) for name in ("output", "output_dir") if getattr(arguments, name, None)}
    pretraining = next(a for a in parsed if isinstance(a, pretrain.PretrainArguments))
    assert pretraining.batch_size == 512 and pretraining.vision_model == "google/vit-base-patch16-384"
    assert pretraining.learnable_logit_scale and pretraining.attribute_loss_weight == 1


def test_every_command_of_the_page_of_encoders_parses():
    # Without a configuration of its own accelerate would look for one in the user's home.
    page = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    found = [[*LAUNCH, *words[2:]] for words in commands(page)]
    parsed = [parse(words) for words in found]
    assert [arguments.contrastive_loss for arguments in parsed] == ["softmax", "softmax", "sigmoid"]
    assert [arguments.model is None for arguments in parsed] == [True, False, False]


def test_a_mistyped_option_is_not_let_through():
    for words in (
        ["python", "train/model_card.py", "--modle", "x"],
        [*LAUNCH, "train/pretrain.py", "--config", "pretrain_best.yaml", "--chunksize", "4"],
        ["accelerate", "launch", "--configfile", "x", "train/pretrain.py"],
        ["torchrun", "--nproc-per-node", "8", "-m", "dataset_builders.luperson_t", "--imges", "x"],
    ):
        with pytest.raises(SystemExit):
            parse(words)
    parse([*LAUNCH, "train/finetune.py", "--batch_size", "4"])


def test_every_option_and_file_that_the_page_names_exists(capsys):
    known = set()
    for arguments_class, module in SCRIPTS.values():
        with pytest.raises(SystemExit):
            parse_arguments(arguments_class, module.__doc__, ["--help"])
        known |= set(re.findall(r"--[a-z_-]+", capsys.readouterr().out))
    with pytest.raises(SystemExit):
        luperson_t_options.parse(["--help"])
    known |= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    known |= {"--constraint", "--editable", "--config_file", "--nproc-per-node", "--source", "--only", "--help"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z_-]+", PAGE))
    assert len(named) > 30 and named <= known
    for name in re.findall(r"`((?:tests|train|docs)/[\w./]+\.(?:py|yaml|md))`", PAGE):
        assert (ROOT / name).is_file(), name
    for name in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (ROOT / "docs" / name).is_file(), name
    table = re.findall(r"^\| `([\w.]+\.yaml)` \|", PAGE, re.M)
    assert sorted(table) == sorted(path.name for path in ACCELERATE.iterdir())


@pytest.mark.parametrize("name, gpus", [("one_gpu", 1), ("ddp_8_gpus", 8), ("fsdp_8_gpus", 8)])
def test_accelerate_reads_its_configurations(name, gpus):
    path = ACCELERATE / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    assert config.num_processes == gpus and config.mixed_precision == "bf16" and not config.use_cpu
    options = {action.dest for action in launch_command_parser()._actions}
    assert set(config.fsdp_config) <= options
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "train/pretrain.py"])
    arguments, _, _ = _validate_launch_command(arguments)
    assert arguments.num_processes == gpus
    assert (arguments.multi_gpu, arguments.use_fsdp) == (name == "ddp_8_gpus", name == "fsdp_8_gpus")
    if name == "fsdp_8_gpus":
        assert arguments.fsdp_version == 2 and arguments.fsdp_offload_params is False


def test_fsdp_shares_what_the_configuration_says(monkeypatch, tiny_config):
    """Accelerate's plugin, from the environment that `accelerate launch` makes, finds the layers of both encoders."""
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import fsdp2_prepare_auto_wrap_policy
    from accelerate.utils.launch import prepare_multi_gpu_env

    from modeling_unipt import UniPTForPreTraining
    from unipt_train.objectives.pretraining import PretrainingObjective

    path = str(ACCELERATE / "fsdp_8_gpus.yaml")
    arguments = launch_command_parser().parse_args(["--config_file", path, "--main_process_port", "0", "x.py"])
    arguments, _, _ = _validate_launch_command(arguments)
    for key, value in prepare_multi_gpu_env(arguments).items():
        if key.startswith(("FSDP", "ACCELERATE")):
            monkeypatch.setenv(key, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    objective = PretrainingObjective(UniPTForPreTraining(tiny_config("vit")))
    plugin.set_auto_wrap_policy(objective)
    policy = fsdp2_prepare_auto_wrap_policy(plugin, objective)
    wrapped = [type(module).__name__ for module in objective.modules() if policy(module)]
    assert wrapped == ["ViTLayer"] * 2 + ["BertLayer"] * 2


@pytest.mark.slow
def test_two_processes_that_share_a_model_by_fsdp_compute_as_one(tmp_path, tiny_tokenizer):
    encoders = write_small_encoders(tmp_path, tiny_tokenizer)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    finished = subprocess.run(
        [*torchrun, "-m", "tests.helpers.fsdp_step", str(encoders)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    told = json.loads(finished.stdout.splitlines()[-1])
    assert len(told) == 4 and max(told.values()) < 1e-6, told
