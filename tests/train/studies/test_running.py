"""Commands one after the other and side by side: order, what is complete, what fails."""

import logging
import sys

import pytest

from modeling_unipt.common.parallel import usable_cores
from modeling_unipt.common.user_errors import UserError
from unipt_train.studies import running
from unipt_train.studies.running import Job, Stage, run_jobs, run_stages


def writes(path, *needs, code=""):
    text = f"{code}\nfrom pathlib import Path\nfor need in {list(map(str, needs))!r}: assert Path(need).exists()\n"
    return Job(path, [sys.executable, "-c", text + f"Path({str(path)!r}).write_text('made')"], tuple(needs))


def test_a_job_begins_when_what_it_needs_is_there(tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    slow = "import time; time.sleep(0.5)"
    jobs = [writes(first, code=slow), writes(second, first), writes(third, first, second)]
    assert run_jobs(jobs, tmp_path / "logs") == {}
    assert third.read_text() == "made"
    assert "python -c" in (tmp_path / "logs" / f"{tmp_path.name}-third.log").read_text()


def test_what_is_there_is_left_alone(tmp_path):
    made = tmp_path / "made"
    made.write_text("before")
    assert run_jobs([writes(made)], tmp_path / "logs") == {}
    assert made.read_text() == "before"


def test_a_failure_is_told_and_so_is_what_needed_it_and_the_rest_goes_on(tmp_path):
    lost, after, other = (tmp_path / name for name in ("lost", "after", "other"))
    jobs = [writes(lost, code="raise SystemExit(3)"), writes(after, lost), writes(other)]
    missing = run_jobs(jobs, tmp_path / "logs")
    assert set(missing) == {lost, after} and "status 3" in missing[lost] and str(lost) in missing[after]
    assert other.exists()


def test_of_those_that_could_start_the_first_listed_does(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "usable_cores", lambda: [min(usable_cores())])
    order = tmp_path / "order"
    note = "with open({!r}, 'a') as file: file.write('{} ')"
    slow = "import time; time.sleep(0.5)\n"  # all the others wait meanwhile
    names = ["first", "second", "third", "fourth"]
    jobs = [writes(tmp_path / name, code=slow + note.format(str(order), name)) for name in names]
    jobs.append(writes(tmp_path / "last", tmp_path / "second", code=note.format(str(order), "last")))
    assert run_jobs(jobs, tmp_path / "logs") == {}
    begun = order.read_text().split()
    waited = [name for name in begun if name != begun[0]]
    assert sorted(begun) == sorted([*names, "last"]) and waited == [n for n in [*names, "last"] if n != begun[0]]


def test_stages_are_announced_in_turn_and_the_first_failure_ends_them(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    made = tmp_path / "made"
    commands = [
        [sys.executable, "-c", f"from pathlib import Path; Path({str(made)!r}).write_text('made')"],
        [sys.executable, "-c", "raise SystemExit(3)"],
        [sys.executable, "-c", "raise SystemExit(4)"],
    ]
    stages = [Stage(title, "Why.", command) for title, command in zip("ABC", commands, strict=True)]
    with pytest.raises(UserError, match="stage 'B' failed with exit status 3"):
        run_stages(stages)
    assert made.exists() and "[1/3] A. Why." in caplog.text and "$ python -c" in caplog.text
    assert "[3/3]" not in caplog.text
