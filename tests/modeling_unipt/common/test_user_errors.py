"""How commands speak and fail, in processes of their own: no traceback, one sentence, the right status."""

import logging
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from modeling_unipt.common.user_errors import UserError, first_line, show_log_messages
from tests.helpers.paths import ROOT

HEAD = """
import logging, sys
sys.path.insert(0, {root!r})
from modeling_unipt.common.user_errors import UserError, run_command
def main():
    {body}
run_command(main)
"""


def command(body, then="", **options):
    """The finished process of a command whose ``main`` is ``body``; ``then`` is what the shell does with it."""
    line = f'"$0" -c "$1" {then}'
    program = HEAD.format(root=str(ROOT), body=body)
    return subprocess.run(
        ["sh", "-c", line, sys.executable, program], capture_output=True, text=True, timeout=60, **options
    )


def refusal(body, then="", **options):
    process = command(body, then, **options)
    assert process.returncode == 2, process.stderr
    assert process.stderr.startswith("error: ") and process.stderr.count("\n") == 1
    return process.stderr.removeprefix("error: ").removesuffix("\n")


def test_the_sentence_is_one_write_also_where_output_is_unbuffered():
    """Ranks that speak at once would mix their lines otherwise. A datagram holds what one write wrote."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    program = HEAD.format(root=str(ROOT), body='raise UserError("no such folder")')
    finished = subprocess.run([sys.executable, "-u", "-c", program], stderr=theirs, timeout=60)
    assert finished.returncode == 2
    assert ours.recv(1024) == b"error: no such folder\n"


def test_a_mistake_of_the_user_is_a_value_error_and_one_sentence():
    assert issubclass(UserError, ValueError)
    assert refusal("raise UserError('the folder is missing; make it')") == "the folder is missing; make it"


def test_other_errors_keep_their_traceback():
    for body in ("raise ValueError('ours')", "raise OSError('ours')", "raise BrokenPipeError('a worker died')"):
        process = command(body)
        assert process.returncode == 1 and process.stderr.startswith("Traceback") and "'" not in process.stdout


def test_an_output_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for path, reason in (
        (tmp_path, "it is a folder"),
        (tmp_path / "gone" / "out.json", "its folder does not exist"),
        (tmp_path / "file" / "out.json", "a part of its path is a file, not a folder"),
        (tmp_path / ("x" * 300), "the name is too long"),
        ("/proc/out.json", "it does not exist"),
    ):
        assert refusal(f"open({str(path)!r}, 'w')") == f"{path} cannot be read or written: {reason}"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_told(unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    written = "with open('/dev/full', 'w') as file: file.write('x' * 100000)"
    assert refusal(written) == "a file cannot be written: the disk is full"
    assert refusal("raise OSError('No space left on device')") == "a file cannot be written: the disk is full"
    assert refusal("print('result')", "> /dev/full") == "a file cannot be written: the disk is full"


def test_an_error_without_a_path_keeps_the_words_of_the_library():
    told = refusal("raise FileNotFoundError(2, \"Failed to open local file 'a.parquet'\")")
    assert told == "a file cannot be read or written: [Errno 2] Failed to open local file 'a.parquet'"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "body",
    [
        "for number in range(100000): print(number)",
        "print('short')",
        "import argparse; argparse.ArgumentParser(epilog='x' * 100000).parse_args(['--help'])",
        "print('late'); raise UserError('the mistake')",
    ],
)
def test_a_reader_that_goes_away_ends_the_command_quietly(body, unbuffered, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    status = tmp_path / "status"
    line = f'("$0" -c "$1"; echo $? > {status}) | true'
    program = HEAD.format(root=str(ROOT), body="import time; time.sleep(0.3)\n    " + body)
    process = subprocess.run(["sh", "-c", line, sys.executable, program], capture_output=True, text=True, timeout=60)
    if "UserError" in body and not unbuffered:
        assert status.read_text() == "2\n" and process.stderr == "error: the mistake\n"
    else:
        # argparse itself ignores that nobody reads its help.
        expected = "0\n" if "argparse" in body else "141\n"
        assert status.read_text() == expected and process.stderr == ""


def test_help_into_head_shows_its_first_line():
    process = command("import argparse; argparse.ArgumentParser('x' * 9).parse_args(['--help'])", "| head -1")
    assert process.stdout.startswith("usage: xxxxxxxxx") and process.stderr == "" and process.returncode == 0


def test_a_command_without_stdout_works():
    assert command("print('nobody reads this')", ">&-").returncode == 0


def test_the_status_of_main_and_of_an_interruption():
    assert command("return 3").returncode == 3
    assert command("return None").returncode == 0
    assert command("sys.exit(4)").returncode == 4
    process = command("raise KeyboardInterrupt")
    assert process.returncode == 130 and process.stderr == "interrupted; run the same command again to continue\n"


def test_log_messages_appear_on_stderr_as_plain_sentences():
    logger = "logging.getLogger('modeling_unipt.gallery.gallery')"
    body = f"{logger}.debug('unseen'); {logger}.info('%s images', 3); {logger}.warning('none left')"
    process = command(body + "; logging.getLogger('elsewhere').info('unseen'); print('result')")
    assert process.stderr == "3 images\nwarning: none left\n" and process.stdout == "result\n"


def test_messages_go_where_stderr_is_now(capsys):
    show_log_messages()
    show_log_messages()
    logging.getLogger("modeling_unipt.common").info("told once")
    assert capsys.readouterr().err == "told once\n"


def test_the_first_line_of_an_error():
    assert first_line(ValueError("\n  It broke.  \nand more")) == "It broke"
    assert first_line(KeyError()) == "KeyError"
    assert first_line(OSError(2, "gone", str(Path("a")))) == "[Errno 2] gone: 'a'"
