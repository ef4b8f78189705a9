"""``--push-to-hub`` against a stand-in of the Hub on 127.0.0.1: one commit, nothing sent twice, every failure told."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub
import pytest

from dataset_builders.luperson_t.__main__ import main
from dataset_builders.output.shards import held
from modeling_unipt.common.user_errors import UserError, run_command
from tests.helpers.folders import contents
from tests.helpers.hub_stand_in import TOKEN, HubStandIn
from tests.helpers.kill_tree import kill_tree
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person

REPO = "me/people"
SHARDS, REWRITTEN = 5, 2


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    for index in range(13):
        draw_person(index % 11).save(folder / f"p{index:02d}.png")  # the last two, in two shards, repeat the first two
    return folder


@pytest.fixture
def arguments(crops, tiny_clip_folder, tmp_path):
    """The command line of a build of five shards in ``tmp_path/out``."""
    options = [
        "--images",
        crops,
        "--scorer",
        tiny_clip_folder,
        "--output",
        tmp_path / "out",
        "--shard-size",
        3,
        "--recipe",
        "paper",
    ]
    return [str(option) for option in options]


@pytest.fixture(scope="module")
def whole(crops, tiny_clip_folder, tmp_path_factory):
    """The folder of a build that was sent nowhere."""
    output = tmp_path_factory.mktemp("whole") / "out"
    main(
        [
            "--images",
            str(crops),
            "--scorer",
            str(tiny_clip_folder),
            "--output",
            str(output),
            "--shard-size",
            "3",
            "--recipe",
            "paper",
        ]
    )
    return output


@pytest.fixture
def complete(whole, tmp_path):
    """A complete OUTPUT of ``arguments``."""
    return Path(shutil.copytree(whole, tmp_path / "out"))


def shown(hub, repo=REPO):
    return {path: content for path, content in hub.files[repo].items() if path != ".gitattributes"}


def assert_whole(hub, whole):
    assert shown(hub) == contents(whole)
    assert len(hub.commits[REPO]) == 1 and "README.md" in hub.commits[REPO][-1]
    assert set(hub.sent.values()) == {1}, "something was sent twice"
    assert not [request for request in hub.asked if " " in request], "unknown requests"


def figures(folder):
    """Number of the other files that go as LFS."""
    return len(list((folder / "figures").iterdir()))


def test_shards_go_as_they_finish_and_one_commit_shows_the_local_files(arguments, hub, whole, tmp_path, caplog):
    caplog.set_level("INFO")
    main([*arguments, "--push-to-hub", "people", "--private"])
    assert contents(tmp_path / "out") == contents(whole)
    assert_whole(hub, whole)
    assert REPO in hub.private
    assert hub.asked.count("put") == SHARDS + REWRITTEN + figures(whole)
    assert hub.asked[-1] == "commit" and hub.asked.index("tree") < hub.asked.index("put")
    assert f"{REPO} holds {tmp_path / 'out'}: {hub.endpoint}/datasets/{REPO}/commit/" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_nothing_is_sent_without_the_option(arguments, hub, tmp_path):
    main(arguments)
    assert (tmp_path / "out").exists() and not hub.asked


def test_each_process_sends_its_shards_and_the_last_commits(arguments, hub, whole, tmp_path, capsys):
    arguments += ["--push-to-hub", REPO, "--world-size", "2", "--rank"]
    main([*arguments, "0"])
    markers = (tmp_path / "out.partial" / "hub").rglob("*.json")
    assert {json.loads(marker.read_text())["sha256"] for marker in markers} == set(hub.sent)
    assert len(hub.sent) == 3 and not hub.commits[REPO]
    main([*arguments, "0"])
    assert hub.asked.count("put") == 3 == hub.asked.count("batch"), "what a marker knows is not even asked"
    with held(tmp_path / "out.partial" / "lock-0", "out"):  # as if process 0 were sending still
        main([*arguments, "1"])
    assert len(hub.sent) == SHARDS and not hub.commits[REPO] and not (tmp_path / "out").exists()
    main([*arguments, "1"])
    assert_whole(hub, whole)
    asked = len(hub.asked)
    main([*arguments, "1"])
    assert "preupload" not in hub.asked[asked:], "a complete output is sent by process 0 alone"


def test_shards_that_lose_their_duplicates_are_sent_once_at_the_end(arguments, hub, tmp_path):
    main([*arguments, "--drop-duplicates", "--push-to-hub", REPO])
    assert_whole(hub, tmp_path / "out")
    assert hub.asked.count("put") == SHARDS + figures(tmp_path / "out")


@pytest.fixture
def environment(hub, tmp_path):
    """Of a process that talks to the stand-in; without Xet, which the stand-in does not know."""
    of_client = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    return dict(os.environ, **of_client, HF_HOME=str(tmp_path / "home"), OMP_NUM_THREADS="1")


def test_killed_in_mid_upload_the_same_command_finishes(arguments, hub, environment, whole, tmp_path):
    command = [sys.executable, "-m", "dataset_builders.luperson_t", *arguments, "--push-to-hub", REPO]
    hub.fail("put", 3, "hang")
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    assert hub.stuck.wait(60), (tmp_path / "log").read_text()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(hub.sent) == 2 and not hub.commits[REPO] and not (tmp_path / "out").exists()
    main([*arguments, "--push-to-hub", REPO])
    assert contents(tmp_path / "out") == contents(whole)
    assert_whole(hub, whole)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_killed_at_random_come_to_the_same_repository(arguments, hub, environment, whole, tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "-m"]
    command, chance = [*launch, "dataset_builders.luperson_t", *arguments, "--push-to-hub", REPO], random.Random(0)
    quiet = {"cwd": ROOT, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for _ in range(6):
        process = subprocess.Popen(command, **quiet)
        time.sleep(chance.uniform(4, 12))
        kill_tree(process)
    subprocess.run(command, check=True, timeout=240, **quiet)
    assert contents(tmp_path / "out") == contents(whole)
    assert_whole(hub, whole)


def test_a_shard_that_cannot_be_sent_does_not_stop_the_build(arguments, hub, whole, caplog):
    hub.fail("put", 2, 403)
    main([*arguments, "--push-to-hub", REPO])
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "this token may not write to me/people: the stand-in was told to fail; the" in warning.getMessage()
    assert_whole(hub, whole)


def test_a_complete_output_is_sent_later_and_a_failed_sending_goes_on(arguments, hub, whole, complete):
    for request_name, number in (("preupload", 1), ("put", 3), ("yaml", 1), ("commit", 1)):
        hub.fail(request_name, number, 403)
        with pytest.raises(UserError, match="told to fail; .*out is complete, and the same command goes on sending it"):
            main([*arguments, "--push-to-hub", REPO])
        assert not hub.commits[REPO] and contents(complete) == contents(whole)
    for _ in range(2):
        main([*arguments, "--push-to-hub", REPO])
        assert_whole(hub, whole)  # the second time no commit, not even an empty one


def test_a_connection_lost_in_mid_upload_is_told_when_the_client_has_tried_enough(arguments, hub, whole, complete):
    for number in range(3, 40):
        hub.fail("put", number, "cut")
    with pytest.raises(UserError, match=r"the Hub at http://127.0.0.1:\d+ cannot be reached: .*; .* is complete, and"):
        main([*arguments, "--push-to-hub", REPO])
    hub.mend()
    main([*arguments, "--push-to-hub", REPO])
    assert_whole(hub, whole)


def test_an_answer_lost_after_the_commit_makes_no_second_one(arguments, hub, whole, complete):
    hub.fail("commit", 1, "lost")
    with pytest.raises(UserError, match=r"the Hub at http://127.0.0.1:\d+ cannot be reached: .*; .* is complete, and"):
        main([*arguments, "--push-to-hub", REPO])
    main([*arguments, "--push-to-hub", REPO])
    assert_whole(hub, whole)


def test_a_later_build_takes_the_place_of_the_shards_before(arguments, hub, whole, complete):
    main([*arguments, "--push-to-hub", REPO])
    hub.files[REPO] |= {"data/train-00000-of-00009.parquet": b"of an earlier build", "notes.md": b"by hand"}
    main([*arguments, "--push-to-hub", REPO])
    assert shown(hub) == {**contents(whole), "notes.md": b"by hand"}


def test_a_dataset_of_another_origin_is_not_touched(arguments, hub, complete):
    main([*arguments, "--push-to-hub", REPO])
    del hub.files[REPO]["build_settings.json"]
    with pytest.raises(UserError, match="me/people holds a dataset that this command did not make; name another"):
        main([*arguments, "--push-to-hub", REPO])
    with pytest.raises(UserError, match="me/people is there and public, which --private does not change"):
        main([*arguments, "--push-to-hub", REPO, "--private"])
    assert len(hub.commits[REPO]) == 1


@pytest.mark.parametrize(
    "repo, token, sentence",
    [
        (REPO, None, "there is no token to write to me/people with; set HF_TOKEN or run `hf auth login`"),
        (REPO, "hf_wrong", "the Hub does not accept the token of HF_TOKEN or `hf auth login`: Invalid username"),
        ("others/people", TOKEN, "this token may not write to others/people: You don't have the rights to create"),
        ("a/b/c", TOKEN, "'a/b/c' cannot name a dataset on the Hub: "),
    ],
)
def test_without_leave_to_write_nothing_is_begun(arguments, hub, tmp_path, monkeypatch, capsys, repo, token, sentence):
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(SystemExit, match="2"):
        run_command(lambda: main([*arguments, "--push-to-hub", repo]))
    told = capsys.readouterr().err
    assert told.startswith(f"error: {sentence}") and told.count("\n") == 1
    assert not any(tmp_path.iterdir()) and not hub.files


def test_offline_and_out_of_reach_are_told(arguments, hub, tmp_path, monkeypatch):
    with HubStandIn() as gone:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", gone.endpoint)
    with pytest.raises(UserError, match=r"the Hub at http://127.0.0.1:\d+ cannot be reached: .*refused"):
        main([*arguments, "--push-to-hub", REPO])
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="nothing can be sent to me/people while HF_HUB_OFFLINE is set; unset it"):
        main([*arguments, "--push-to-hub", REPO])
    with pytest.raises(UserError, match="--private belongs to --push-to-hub"):
        main([*arguments, "--private"])
    assert not any(tmp_path.iterdir())
