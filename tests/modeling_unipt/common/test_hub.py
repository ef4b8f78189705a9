"""`HubRepository` against a stand-in of the Hub on 127.0.0.1. The builder's and the trainer's tests try it further."""

import pytest

from modeling_unipt.common.hub import FILES_AT_ONCE, LOCK_FILE, HubRepository
from modeling_unipt.common.locks import held
from modeling_unipt.common.user_errors import UserError

REPO = "me/things"


class Models(HubRepository):
    kind = "model"


@pytest.fixture
def folder(tmp_path):
    """A folder with more files than one batch, of which some are hidden and some are to be left out."""
    folder = tmp_path / "things"
    for name in ("data/.cache/part.png", "logs/host.txt", "settings.json", ".hidden", "data/settings.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    for number in range(FILES_AT_ONCE + 1):
        (folder / "data" / f"{number:02d}.png").write_text(f"shard {number}")
    return folder


def shown(hub):
    return set(hub.files[REPO]) - {".gitattributes"}


SENT = {"data/settings.json", *(f"data/{number:02d}.png" for number in range(FILES_AT_ONCE + 1))}


def test_a_folder_is_shown_by_one_commit_without_hidden_files(hub, folder, caplog):
    caplog.set_level("INFO", "modeling_unipt.common.hub")
    repository = Models("things")
    assert repository.name == REPO
    repository.publish_folder(folder, "Things", left_out=("logs", "settings.json"))
    assert shown(hub) == SENT == set(repository.files()) - {".gitattributes"}
    assert len(hub.commits[REPO]) == 1 and set(hub.sent.values()) == {1}
    told = [record.message for record in caplog.records if record.name == "modeling_unipt.common.hub"]
    assert told[0] == f"sending {folder}, {len(SENT)} files, to {REPO}"
    assert told[1].startswith(f"{REPO} holds {folder}: {hub.endpoint}/{REPO}/commit/")
    repository.publish_folder(folder, "Things", left_out=("logs", "settings.json"))
    assert len(hub.commits[REPO]) == 1 and set(hub.sent.values()) == {1}, "nothing is sent twice"


def test_replaced_files_go_with_the_same_commit_and_others_stay(hub, folder):
    repository = Models(REPO)
    hub.files[REPO] |= {"data/99.png": b"of before", "notes.md": b"by hand"}
    repository.publish_folder(folder, "Things", left_out=("logs", "settings.json"), replaced="data/*.png")
    assert shown(hub) == {*SENT, "notes.md"} and len(hub.commits[REPO]) == 1


def test_the_lock_is_a_file_of_its_own_which_is_gone_afterwards(hub, folder):
    repository = Models(REPO)
    before = {path for path in folder.rglob("*")}
    with (
        held(folder / LOCK_FILE, "held"),
        pytest.raises(UserError, match="another process is sending .*things; wait for it, .*; .* is complete, and"),
    ):
        repository.publish_folder(folder, "Things")
    assert not hub.commits[REPO]
    hub.fail("commit", 1, 403)
    with pytest.raises(UserError, match="this token may not write to me/things: the stand-in was told to fail; .*"):
        repository.publish_folder(folder, "Things")
    assert {path for path in folder.rglob("*")} == before
    repository.publish_folder(folder, "Things")
    assert {path for path in folder.rglob("*")} == before and len(hub.commits[REPO]) == 1


def test_a_public_repository_is_not_taken_for_a_private_one(hub):
    Models(REPO)
    with pytest.raises(UserError, match="me/things is there and public, which --private does not change"):
        Models(REPO, private=True)
    assert Models("me/secret", private=True).name in hub.private


def test_refusals_are_one_sentence(hub, folder, monkeypatch):
    with pytest.raises(UserError, match="'a/b/c' cannot name a model on the Hub: "):
        Models("a/b/c")
    repository = Models(REPO)
    del hub.files[REPO]
    with pytest.raises(UserError, match="the Hub has no model me/things that this token may see"):
        repository.files()
    with pytest.raises(UserError, match="sending to me/things failed: .*gone"):
        repository.preupload([("gone", folder / "gone")])
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match="there is no token to write to me/things with; set HF_TOKEN or run `hf auth"):
        Models(REPO)
