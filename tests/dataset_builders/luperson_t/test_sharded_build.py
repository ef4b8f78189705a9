"""The LUPerson-T build shared by processes and killed at any moment: always the same bytes."""

import random
import shutil
import subprocess
import sys
import time

import pytest
import torch

from dataset_builders.luperson_t import build as luperson_t
from dataset_builders.luperson_t.__main__ import main
from dataset_builders.output.shards import held
from modeling_unipt.common.user_errors import UserError
from tests.helpers.folders import contents
from tests.helpers.kill_tree import kill_tree
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person

IMAGES = 13
BEST = ["--recipe", "best", "--captions-per-image", 2]


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    for index in range(IMAGES):
        draw_person(index % (IMAGES - 2)).save(folder / f"p{index:02d}.png")  # the last two repeat the first two
    (folder / "torn.jpg").write_bytes(b"no image")
    return folder


def arguments(crops, scorer, output, *more):
    options = ["--images", crops, "--scorer", scorer, "--output", output, "--shard-size", 3, "--batch-size", 2]
    recipe = [] if "--recipe" in more else ["--recipe", "paper"]
    options += [*recipe, *more]
    return [str(option) for option in options]


@pytest.fixture(scope="module")
def whole(crops, tiny_clip_folder, tmp_path_factory):
    """The content of an uninterrupted build by one process."""
    output = tmp_path_factory.mktemp("whole") / "out"
    main(arguments(crops, tiny_clip_folder, output))
    assert len(list(output.glob("data/*.parquet"))) == 5
    assert not output.with_name("out.partial").exists()
    return contents(output)


@pytest.fixture(scope="module")
def whole_by_best(crops, tiny_clip_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole-by-best") / "out"
    main(arguments(crops, tiny_clip_folder, output, *BEST))
    return contents(output)


@pytest.mark.parametrize(("options", "expected"), [([], "whole"), (BEST, "whole_by_best")], ids=["paper", "best"])
def test_the_last_of_several_processes_makes_the_same_dataset(
    crops, tiny_clip_folder, options, expected, tmp_path, capsys, request
):
    output = tmp_path / "out"
    for rank in (2, 0):
        main(arguments(crops, tiny_clip_folder, output, "--rank", rank, "--world-size", 3, *options))
        assert f"process {rank} of 3 is done" in capsys.readouterr().out
        assert not output.exists()
    main(arguments(crops, tiny_clip_folder, output, "--rank", 1, "--world-size", 3, *options))
    assert contents(output) == request.getfixturevalue(expected)
    assert list(tmp_path.iterdir()) == [output]


def test_a_process_alone_goes_on_where_others_stopped(crops, tiny_clip_folder, whole, tmp_path, caplog):
    output = tmp_path / "out"
    main(arguments(crops, tiny_clip_folder, output, "--rank", 1, "--world-size", 2))
    caplog.set_level("INFO")
    main(arguments(crops, tiny_clip_folder, output))
    assert "going on: 3 of 5 shards are left" in caplog.text
    assert contents(output) == whole


def test_a_shard_half_written_and_an_end_half_made_are_made_anew(crops, tiny_clip_folder, whole, tmp_path):
    output = tmp_path / "out"
    main(arguments(crops, tiny_clip_folder, output, "--rank", 0, "--world-size", 2))
    work = output.with_name("out.partial")
    (work / "shards" / "data" / "train-00001-of-00005.parquet.aside").write_bytes(b"PAR1 half")
    (work / "result" / "data").mkdir(parents=True)
    (work / "result" / "data" / "train-00000-of-00005.parquet").write_bytes(b"half")
    main(arguments(crops, tiny_clip_folder, output))
    assert contents(output) == whole


def test_the_bytes_do_not_depend_on_the_number_of_threads(crops, tiny_clip_folder, whole, tmp_path, monkeypatch):
    for lanes, threads in ((1, 2), (3, 3)):
        output = tmp_path / str(lanes)
        monkeypatch.setattr(luperson_t, "place", lambda gpus, lanes=lanes: ("cpu", lanes))
        try:
            torch.set_num_threads(threads)  # as a process of that many cores begins
            main(arguments(crops, tiny_clip_folder, output))
        finally:
            torch.set_num_threads(1)
        assert contents(output) == whole


@pytest.mark.parametrize(
    ("local_rank", "neighbours", "gpus", "place"),
    [(3, 4, 4, ("cuda:3", 1)), (5, 8, 2, ("cuda:1", 1)), (0, 1, 0, ("cpu", 6)), (1, 4, 0, ("cpu", 1))],
)
def test_processes_share_the_gpus_or_the_cores(local_rank, neighbours, gpus, place, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", str(local_rank))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(neighbours))
    monkeypatch.setattr(luperson_t, "usable_cores", lambda: range(6))
    assert luperson_t.place(gpus) == place


def test_a_build_of_which_only_the_end_is_missing_loads_no_scorer(crops, tiny_clip_folder, tmp_path, monkeypatch):
    from dataset_builders.conquer import clip_style

    def stop(*arguments):
        raise KeyboardInterrupt

    load = clip_style.load_weights

    def of_the_hub(name, role):
        model = load(name, role)
        model.config._commit_hash = "c0ffee"
        return model

    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(clip_style, "load_weights", of_the_hub)
        patch.setattr(luperson_t, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            main(arguments(crops, tiny_clip_folder, output))
    monkeypatch.setattr(clip_style, "load_weights", stop)
    main(arguments(crops, tiny_clip_folder, output))
    assert "at revision `c0ffee`, computed in float32" in (output / "README.md").read_text(encoding="utf-8")


def test_a_process_without_a_shard_loads_no_scorer(crops, tiny_clip_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(luperson_t, "prepare", None)
    main(arguments(crops, tiny_clip_folder, tmp_path / "out", "--rank", 7, "--world-size", 8))
    assert "process 7 of 8 is done" in capsys.readouterr().out


def test_other_settings_do_not_go_on_with_the_work(crops, tiny_clip_folder, tmp_path):
    output = tmp_path / "out"
    main(arguments(crops, tiny_clip_folder, output, "--rank", 0, "--world-size", 2))
    with pytest.raises(UserError, match="was begun with other settings: seed was 0 and is now 1"):
        main(arguments(crops, tiny_clip_folder, output, "--seed", 1))


def test_a_second_process_on_the_same_output_is_refused(crops, tiny_clip_folder, tmp_path):
    output = tmp_path / "out"
    main(arguments(crops, tiny_clip_folder, output, "--rank", 0, "--world-size", 2))
    lock = output.with_name("out.partial") / "lock-0"
    with held(lock, output), pytest.raises(UserError, match="another process is already building"):
        main(arguments(crops, tiny_clip_folder, output))


def test_a_scorer_that_cannot_be_loaded_leaves_nothing(crops, tmp_path):
    (tmp_path / "scorer").mkdir()
    with pytest.raises(UserError, match="holds no config.json"):
        main(arguments(crops, tmp_path / "scorer", tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["scorer"]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.timeout(900)
def test_killed_at_random_moments_it_comes_to_the_same_bytes(crops, tiny_clip_folder, whole, tmp_path, processes):
    """Moments of all the time that a run takes here, from the loading of libraries on."""
    output, chance = tmp_path / "out", random.Random(processes)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    launch = launch if processes == 2 else [sys.executable]
    command = [*launch, "-m", "dataset_builders.luperson_t", *arguments(crops, tiny_clip_folder, output)]
    begun = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=240)
    took = time.monotonic() - begun
    for _ in range(10):
        if output.exists():
            assert contents(output) == whole
            shutil.rmtree(output)
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 1) * took)
        kill_tree(process)
    if not output.exists():
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
        assert not finished.returncode, finished.stderr
    assert contents(output) == whole


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_work_goes_on_when_there_is_room(crops, tiny_clip_folder, whole, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 360_000)
        command = [sys.executable, "-m", "dataset_builders.luperson_t"]
        command += arguments(crops, tiny_clip_folder, disk / "out")
        refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert refused.returncode == 2 and "is full; make room" in refused.stderr
        assert "Traceback" not in refused.stderr and not (disk / "out").exists()
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=40m", disk], check=True)
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        assert contents(disk / "out") == whole
    finally:
        subprocess.run(["umount", disk], check=True)
