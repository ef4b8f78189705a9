"""The command that calibrates a scorer."""

import shutil
import subprocess
import sys

import pytest

from dataset_builders import calibrate
from dataset_builders.conquer.calibration import find_calibration, load_calibration
from dataset_builders.conquer.scorer import scorer_identity
from modeling_unipt.common.user_errors import UserError
from tests.helpers.luperson_t_builds import write_people
from tests.helpers.paths import ROOT


def test_the_command_writes_beside_the_scorer_and_the_builder_finds_it(vocabulary, tiny_clip_folder, tmp_path, capsys):
    scorer = shutil.copytree(tiny_clip_folder, tmp_path / "clip")
    people = write_people(tmp_path / "people", [f"p{index}.png" for index in range(24)])
    truth = people / "truth.jsonl"
    identity = scorer_identity(str(scorer))
    options = ["--images", str(people / "images"), "--truth", str(truth), "--scorer", str(scorer)]
    calibrate.main(options)
    assert "fitted on 24 images" in capsys.readouterr().out
    assert find_calibration(scorer) == scorer / "calibration.json"
    assert scorer_identity(str(scorer)) == identity  # what calibrates a scorer is no part of it
    calibration = load_calibration(find_calibration(scorer), identity, vocabulary)
    for name, fitted in calibration.attributes.items():
        assert sum(fitted.views.values()) == pytest.approx(1, abs=1e-4)
        assert {f: len(s.prior) for f, s in fitted.slots.items()} == {
            f: len(v) for f, v in vocabulary.attributes[name].slots.items()
        }
    with pytest.raises(UserError, match="is no folder to write beside; name a file with --output"):
        calibrate.main([*options[:5], "openai/clip"])
    truth.write_text(truth.read_text().replace('"gender": "man"', '"gender": "lord"', 1))
    with pytest.raises(UserError, match="gives gender the value 'lord', which the vocabulary 'people'"):
        calibrate.main(options)


def test_help_loads_no_torch():
    """Of this command and of its neighbour, which reads the same rooms."""
    code = (
        "import contextlib, sys\n"
        "from dataset_builders import agreement, calibrate\n"
        "for command in (agreement, calibrate):\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        command.main(['--help'])\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "Compare the attributes" in shown.stdout and "Make a scorer's probabilities trustworthy" in shown.stdout
