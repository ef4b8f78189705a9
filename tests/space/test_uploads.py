"""What hostile or careless uploads do to the Space: nothing but a sentence, and a minute later no trace."""

import io
import os
import pickle
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
import zipfile
import zlib

import numpy as np
import pytest
from gradio_client import Client, handle_file

from modeling_unipt import load_unipt
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.embedding import embed_texts
from tests.helpers.people import draw_person
from tests.helpers.space_server import gallery_server, open_browser, sample_people, watched_page
from unipt_space import served_model, uploads
from unipt_space.own_galleries import Gone, OwnGalleries
from unipt_space.served_model import ServedModel


@pytest.fixture(autouse=True)
def upload_folder(tmp_path, monkeypatch):
    """Uploads lie in tmp_path / "gradio"."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    (tmp_path / "gradio").mkdir()
    (tmp_path / "taken").mkdir()


@pytest.fixture
def send(tmp_path):
    """A function that puts an upload where Gradio would, and gives its path."""

    def put(name, content):
        path = tmp_path / "gradio" / name
        path.write_bytes(content)
        return path

    return put


def png(width=32, height=96):
    encoded = io.BytesIO()
    draw_person(1, height, width).save(encoded, "PNG")
    return encoded.getvalue()


def claimed_png(width, height):
    """A PNG of a few bytes whose header claims so many pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")


def archive(*entries):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return packed.getvalue()


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_images_and_archives_are_taken_by_safe_names(send, tmp_path):
    one = send("one.png", png())
    packed = send(
        "more.zip", archive(("cam 1/two.png", png(40)), ("one.png", png(48)), ("ab:c|d.jpg", png(56)), ("x", png(64)))
    )
    taken = uploads.take([str(one), str(packed)], tmp_path / "taken")
    assert taken.refused == []
    assert taken.names == ["one.png", "cam 1/two.png", "one_2.png", "ab_c_d.jpg", "x.img.jpg"]
    assert files_below(tmp_path / "taken") == sorted(taken.names)
    assert one.exists(), "another user may have sent the same"


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "a/../../out.png", "..\\out.png", "C:\\out.png"])
def test_an_archive_that_leads_out_is_refused_whole(send, tmp_path, name):
    path = send("evil.zip", archive(("fine.png", png()), (name, png())))
    with pytest.raises(UserError, match="leads out of it"):
        uploads.take([path], tmp_path / "taken")
    assert files_below(tmp_path / "taken") == []


def test_a_link_in_an_archive_is_refused(send, tmp_path):
    link = zipfile.ZipInfo("passwd.png")
    link.external_attr = 0o120777 << 16
    with pytest.raises(UserError, match="holds a link"):
        uploads.take([send("link.zip", archive((link, b"/etc/passwd")))], tmp_path / "taken")


def test_a_zip_bomb_is_refused_by_what_it_claims_and_by_what_it_is(send, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "UNPACKED_BYTES", uploads.MEGABYTE)
    bomb = archive(("bomb.png", bytes(5_000_000)))
    assert len(bomb) < 10_000
    with pytest.raises(UserError, match="unpacks to more than 1 MB"):
        uploads.take([send("bomb.zip", bomb)], tmp_path / "taken")

    with zipfile.ZipFile(io.BytesIO(bomb)) as opened:
        entry = opened.infolist()[0]
    monkeypatch.setattr(uploads, "_check_entries", lambda *arguments: None)  # as if the claim were small
    assert entry.file_size > uploads.UNPACKED_BYTES
    with pytest.raises(UserError, match="unpacks to more than"):
        uploads.take([send("liar.zip", bomb)], tmp_path / "taken")
    assert sum(path.stat().st_size for path in (tmp_path / "taken").rglob("*")) <= uploads.UNPACKED_BYTES


@pytest.mark.parametrize("damage", [slice(0, -200), slice(0, 60)])
def test_a_torn_archive_is_told(send, tmp_path, damage):
    whole = archive(*((f"{index}.png", png()) for index in range(5)))
    with pytest.raises(UserError, match="no image among the files|damaged"):
        uploads.take([send("torn.zip", whole[damage])], tmp_path / "taken")


def test_an_archive_with_rotten_bytes_is_told(send, tmp_path):
    rotten = bytearray(archive(("a.png", png())))
    rotten[80:120] = bytes(40)
    with pytest.raises(UserError, match="damaged|cannot be unpacked"):
        uploads.take([send("rotten.zip", bytes(rotten))], tmp_path / "taken")


def test_too_many_files_are_refused(send, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_IMAGES", 3)
    with pytest.raises(UserError, match="more than 3 files"):
        uploads.take([send("many.zip", archive(*((f"{i}.png", png()) for i in range(4))))], tmp_path / "taken")
    with pytest.raises(UserError, match="more than 3 files"):
        uploads.take([send(f"{i}.png", png()) for i in range(4)], tmp_path / "taken")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "content is not an image"),
        (b"<html><script>alert(1)</script></html>", "content is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "content is not an image"),
        (claimed_png(30_000, 30_000), "more than 25 million pixels"),
        (claimed_png(30_000, 1_000), "30000 x 1000 pixels"),
    ],
)
def test_what_a_file_is_counts_and_not_its_name(send, tmp_path, content, reason):
    path = send("person.jpg", content)
    with pytest.raises(UserError, match=reason):
        uploads.open_image(path)
    taken = uploads.take([path, send("fine.png", png())], tmp_path / "taken")
    assert taken.names == ["fine.png"] and reason in taken.refused[0][1]


def test_a_narrow_image_of_30000_pixels_is_fine_and_a_torn_one_is_told(send):
    encoded = io.BytesIO()
    draw_person(2, 30_000, 8).save(encoded, "PNG")
    assert uploads.open_image(send("tall.png", encoded.getvalue())).size == (8, 30_000)
    with pytest.raises(UserError, match="torn.png cannot be used: cannot be decoded"):
        uploads.open_image(send("torn.png", png()[:300]))


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../etc/passwd", "", None, {"a": 1}, "\0"])
def test_only_uploads_are_opened(path):
    with pytest.raises(UserError, match="no such upload"):
        uploads.open_image(path)


def test_old_uploads_are_swept_and_new_ones_stay(send, tmp_path):
    (tmp_path / "gradio" / "hash").mkdir()
    old, new = send("hash/old.jpg", png()), send("new.jpg", png())
    os.utime(old, (time.time() - 100, time.time() - 100))
    uploads.sweep(60)
    assert files_below(tmp_path / "gradio") == ["new.jpg"] and new.exists()
    assert not old.parent.exists()


def test_galleries_belong_to_their_sessions_and_go_with_them(send, tmp_path, tiny_unipt_folder):
    galleries = OwnGalleries(tmp_path / "galleries", ServedModel(*load_unipt(tiny_unipt_folder)))
    for session, sizes in (("one", (32, 40)), ("other", (48, 56, 64))):
        galleries.begin(session, [send(f"{session}-{size}.png", png(size)) for size in sizes])
        with pytest.raises(UserError, match="still being read"):
            galleries.people_of(session)
        galleries.make(session, lambda done, total: None)
    for session, count in (("one", 2), ("other", 3)):
        people = galleries.people_of(session)
        names = {people.names[result.index] for result in people.search("a man", 10)}
        assert len(names) == count and all(name.startswith(session) for name in names)
        with pytest.raises(UserError, match="no such image"):
            people.alike(3, 5)
        assert people.image(0).height == 96
        lost = people.names[1]
        (galleries.of(session).folder / "images" / lost).unlink()
        with pytest.raises(UserError, match=f"{lost} cannot be shown: is gone"):
            people.image(1)
        assert people.thumbnail(1).startswith("data:image/jpeg") and people.thumbnail(1) != people.thumbnail(0)
    with pytest.raises(UserError, match="no gallery of yours"):
        galleries.people_of("third")
    galleries.forget("one")
    with pytest.raises(UserError, match="no gallery of yours"):
        galleries.people_of("one")
    assert all(name.split("/")[0] == galleries.of("other").folder.name for name in files_below(tmp_path / "galleries"))

    galleries.begin("one", [send("one.png", png())])
    with pytest.raises(Gone):  # who leaves while the images are embedded
        galleries.make("one", lambda done, total: galleries.forget("one"))
    with pytest.raises(UserError):
        galleries.begin("other", [send("page.jpg", b"<html>")])
    assert files_below(tmp_path / "galleries") == []
    galleries.close()
    assert not (tmp_path / "galleries").exists()


def test_what_runs_on_a_borrowed_gpu_can_travel_between_processes(tmp_path, monkeypatch, tiny_unipt_folder):
    """ZeroGPU runs it in a forked process: arguments and results are pickled, the model is not."""

    def lent(work):
        return lambda *arguments: pickle.loads(pickle.dumps(work(*pickle.loads(pickle.dumps(arguments)))))

    monkeypatch.setattr(served_model, "on_gpu", lent)
    monkeypatch.setattr(served_model, "LENT", True)
    model, processor = load_unipt(tiny_unipt_folder)
    served = ServedModel(model, processor)
    assert np.linalg.norm(served.embed("a man in red")) == pytest.approx(1, abs=1e-5)
    assert served.word_maps(draw_person(0), "a man in red", ["red"]).shape == (1, 6, 2)
    (tmp_path / "crops").mkdir()
    draw_person(0).save(tmp_path / "crops" / "a.png")
    served.index(tmp_path / "crops", tmp_path / "gallery", lambda done, total: None)
    assert (tmp_path / "gallery").is_dir()


def test_texts_that_wait_are_embedded_together(monkeypatch, tiny_unipt_folder):
    model, processor = load_unipt(tiny_unipt_folder)
    served, batches, entered, go = ServedModel(model, processor), [], threading.Event(), threading.Event()

    def slow(texts):
        batches.append(list(texts))
        entered.set()
        go.wait(10)
        return embed_texts(model, processor, texts)

    served._on_gpu = dict.fromkeys(served._on_gpu, slow)
    texts, found = [f"a man in coat {index}" for index in range(6)], {}
    threads = [threading.Thread(target=lambda text=text: found.update({text: served.embed(text)})) for text in texts]
    threads[0].start()
    entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    deadline = time.monotonic() + 10
    while len(served._waiting) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    go.set()
    for thread in threads:
        thread.join(10)
    assert batches[0] == texts[:1] and sorted(batches[1]) == texts[1:] and len(batches) == 2
    alone = embed_texts(model, processor, texts)
    for text, embedding in zip(texts, alone, strict=True):
        assert found[text] == pytest.approx(embedding, abs=1e-5)
    served.embed(texts[3])
    assert len(batches) == 2, "what is known is not embedded again"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_minute_after_abuse_disk_and_memory_are_back(tmp_path):
    """200 MB, bombs, lies and people who leave, against a real server; it answers all the while."""
    paths = sample_people(tmp_path / "people", 20)
    with gallery_server(tmp_path) as server:
        client = Client(server.address, verbose=False)
        client.predict("a man", 5, api_name="/search")
        client.predict(handle_file(paths[0]), api_name="/describe")
        time.sleep(60)
        files, memory = server.files(), server.memory()

        with open(tmp_path / "large.jpg", "wb") as large:
            large.truncate(200_000_000)
        bomb = archive(("bomb.png", bytes(400_000_000)))
        (tmp_path / "bomb.zip").write_bytes(bomb)
        (tmp_path / "evil.zip").write_bytes(archive(("../../evil.png", png())))
        (tmp_path / "huge.png").write_bytes(claimed_png(30_000, 30_000))
        (tmp_path / "page.jpg").write_bytes(b"<html>")
        for name in ("huge.png", "page.jpg"):
            with pytest.raises(Exception, match="cannot be used"):
                client.predict(handle_file(tmp_path / name), api_name="/describe")
        with pytest.raises(Exception, match="size|413"):
            client.predict(handle_file(tmp_path / "large.jpg"), api_name="/describe")
        _leave_in_mid_upload(server.address)
        with open_browser(tmp_path / "profile") as browser:
            with watched_page(browser, server.address, 1280) as page:
                page.get_by_role("tab", name="Your gallery").click()
                chooser = page.locator("#own-upload input[type=file]")
                for file, sentence in (
                    ("bomb.zip", "unpacks to more than 250 MB"),
                    ("evil.zip", "leads out of it"),
                    ("page.jpg", "There is no image among the files"),
                ):
                    chooser.set_input_files(tmp_path / file)
                    page.locator("#own-made").get_by_text(sentence).wait_for()
            page = browser.new_page()  # not watched: Gradio asks for the progress of the upload that it refused
            page.goto(server.address)
            page.get_by_role("tab", name="Your gallery").click()
            page.locator("#own-upload input[type=file]").set_input_files(tmp_path / "large.jpg")
            page.get_by_text("exceed the maximum allowed size of 50.0 Mb").first.wait_for()
            page.close()
            with watched_page(browser, server.address, 1280) as page:
                page.get_by_role("tab", name="Your gallery").click()
                page.locator("#own-upload input[type=file]").set_input_files(paths)
                page.get_by_text("Your gallery has 20 images").wait_for()
                assert len(server.files()) > len(files)
        assert len(client.predict("a woman", 5, api_name="/search")) == 5
        time.sleep(65)
        assert server.files() == files
        assert server.memory() < memory + 50
        assert len(client.predict("a woman in red", 5, api_name="/search")) == 5
        assert "Traceback" not in server.log()


def _leave_in_mid_upload(address):
    """Begin to send 40 MB, and hang up after 5."""
    host, port = address.removeprefix("http://").split(":")
    head = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="half.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: multipart/form-data; "
            "boundary=x\r\nContent-Length: 40000000\r\n\r\n".encode()
            + head
        )
        connection.sendall(bytes(5_000_000))
    with pytest.raises(urllib.error.HTTPError):  # the server goes on, and refuses what is no form
        urllib.request.urlopen(f"{address}/gradio_api/upload", data=b"nothing", timeout=20)
