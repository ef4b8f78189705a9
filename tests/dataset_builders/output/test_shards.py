"""Shards shared by processes: each is done once, a marker is whole or absent, and a second process is refused."""

import subprocess
import sys

import pytest

from dataset_builders.output.shards import (
    Team,
    find_team,
    held,
    mark_done,
    others_at_work,
    record_of,
    records,
    shards_to_do,
)
from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT

HOLD = """
import sys
from dataset_builders.output.shards import held
with held(sys.argv[1], "my-dataset"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_shard_belongs_to_exactly_one_process(tmp_path, size):
    shares = [shards_to_do(tmp_path, 10, Team(rank, size)) for rank in range(size)]
    assert sorted(index for share in shares for index in share) == list(range(10))


def test_only_marked_shards_are_left_out_whatever_else_lies_there(tmp_path):
    mark_done(tmp_path, 1, {"rows": 3})
    (tmp_path / "done" / "000002.aside").write_text('{"rows"')
    assert shards_to_do(tmp_path, 4, Team(0, 1)) == [0, 2, 3]
    assert records(tmp_path, 4) is None


def test_records_come_in_the_order_of_the_shards(tmp_path):
    for index in (2, 0, 1):
        mark_done(tmp_path, index, {"index": index, "name": "ä"})
    assert [record["index"] for record in records(tmp_path, 3)] == [0, 1, 2]
    assert record_of(tmp_path, 1) == {"index": 1, "name": "ä"} and record_of(tmp_path, 3) is None


def test_the_team_is_that_of_the_launcher_unless_named():
    assert find_team(environment={}) == Team(0, 1)
    assert find_team(environment={"RANK": "3", "WORLD_SIZE": "8"}) == Team(3, 8)
    assert find_team(1, 2, environment={"RANK": "3", "WORLD_SIZE": "8"}) == Team(1, 2)


@pytest.mark.parametrize(
    "arguments, message",
    [((1, None), "belong together"), ((2, 2), "rank 2 of 2"), ((-1, 2), "rank -1 of 2"), ((0, 0), "rank 0 of 0")],
)
def test_an_impossible_team_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        find_team(*arguments, environment={})


def test_a_second_process_is_refused_until_the_first_has_ended_however_it_ended(tmp_path):
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdout.readline() == b"held\n"
    with pytest.raises(UserError, match="already building my-dataset"), held(tmp_path / "lock", "my-dataset"):
        pass
    first.kill()
    first.wait()
    with held(tmp_path / "lock", "my-dataset"):
        pass


def test_a_process_sees_whether_others_are_at_work(tmp_path):
    with held(tmp_path / "lock-0", "my-dataset"):
        assert others_at_work(tmp_path, Team(1, 2)) and not others_at_work(tmp_path, Team(0, 2))
    assert not others_at_work(tmp_path, Team(1, 2))


LOOK = """
import sys
from dataset_builders.output.shards import Team, others_at_work
print(sum(others_at_work(sys.argv[1], Team(0, 2)) for _ in range(300)))
"""


def test_two_processes_that_only_look_do_not_see_each_other(tmp_path):
    (tmp_path / "lock-1").touch()
    look = [sys.executable, "-c", LOOK, str(tmp_path)]
    lookers = [subprocess.Popen(look, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [looker.communicate()[0].strip() for looker in lookers] == ["0", "0"]
