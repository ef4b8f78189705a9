"""The domains of the renderer: the first keeps its bytes, the second shows and tells the same truth otherwise."""

import io
import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from transformers import BertTokenizer

from dataset_builders.benchmarks.__main__ import main as read_benchmark_as_users_do
from dataset_builders.combine.templates import load_templates
from dataset_builders.divide.reading import load_vocabulary
from dataset_builders.synthetic_pedestrians import __main__ as command
from dataset_builders.synthetic_pedestrians.backdrops import CLUTTER, FLOORS, WALLS
from dataset_builders.synthetic_pedestrians.captions import load_words
from dataset_builders.synthetic_pedestrians.domains import DOMAINS, STATION, STREET
from dataset_builders.synthetic_pedestrians.geometry import Material, Solids
from dataset_builders.synthetic_pedestrians.people import (
    flat_attributes,
    load_world,
    sample_person,
    sample_view,
)
from dataset_builders.synthetic_pedestrians.phrases import MANNERS
from dataset_builders.synthetic_pedestrians.render import camera_rotation
from dataset_builders.synthetic_pedestrians.tracer import seen_at, trace
from dataset_builders.synthetic_pedestrians.write_world import captions_of
from tests.helpers.paths import ROOT
from tests.helpers.street_digest import rendered

# Seed -> street_digest as it was before there were domains, with the kernels of OpenBLAS that every x86 with AVX2 has:
# others round the last bit otherwise.
ONE_KERNEL = {"OPENBLAS_CORETYPE": "Haswell"}
STREET_BEFORE_DOMAINS = {
    0: "49a3e1e894e8067d45a7091c8a2783db037d11a8b313d09d98d06ad103ad7f58",
    3: "23ae30e68339eb3e766e573d775fbca6d5cbec00a211e4bafef0fa4fffc3b579",
    77: "41a4c6158fb760fd6a85e6b4f36b157a9467770d07f4ef2525f7152f4aab629c",
}


@pytest.mark.parametrize("seed", STREET_BEFORE_DOMAINS)
def test_the_street_keeps_its_bytes(seed):
    program = [sys.executable, "-m", "tests.helpers.street_digest", str(seed)]
    environment = os.environ | ONE_KERNEL
    run = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == STREET_BEFORE_DOMAINS[seed]


def test_what_was_made_before_domains_is_complete(tmp_path, caplog):
    settings = ["--output", str(tmp_path / "out"), "--identities", "1", "--views", "1", "--workers", "1"]
    command.main(settings)
    assert "domain" not in json.loads((tmp_path / "out" / "build_settings.json").read_text())
    with caplog.at_level("INFO"):
        command.main([*settings, "--domain", "street"])
    assert "already complete" in caplog.text
    with pytest.raises(command.UserError, match='domain was null and is now "station"'):
        command.main([*settings, "--domain", "station"])


def test_domains_show_the_same_people():
    for number in range(40):
        people = [sample_person(5, number, domain) for domain in (STREET, STATION)]
        views = [sample_view(5, number, 1, *pair) for pair in zip(people, (STREET, STATION), strict=True)]
        first, second = (flat_attributes(*pair) for pair in zip(people, views, strict=True))
        assert first == second and people[0].looks.height == people[1].looks.height


def test_every_name_in_a_domain_is_there():
    for domain in DOMAINS.values():
        assert set(domain.wall_kinds) <= set(WALLS) and set(domain.floor_kinds) <= set(FLOORS)
        assert set(domain.clutter) <= set(CLUTTER) and domain.manner in MANNERS
    assert not set(STREET.wall_kinds) & set(STATION.wall_kinds)


def test_a_colour_keeps_its_name_in_the_other_palette():
    """Every shade of the station is nearest to a shade of the same name in the street, in chroma and lightness."""
    named = [(name, np.array(rgb) / 255) for name, shades in load_world()["shades"].items() for rgb in shades.values()]
    station = load_world(STATION)
    assert not {tuple(rgb) for shades in station["shades"].values() for rgb in shades.values()} & {
        tuple(rgb) for shades in load_world()["shades"].values() for rgb in shades.values()
    }
    lost = []
    for name, shades in station["shades"].items():
        for shade, rgb in shades.items():
            nearest = sorted(named, key=lambda other: float(np.abs(other[1] - np.array(rgb) / 255).sum()))[:3]
            if name not in {other for other, _ in nearest}:
                lost.append((name, shade, [other for other, _ in nearest]))
    assert not lost


def test_layouts_and_loader_are_the_same(tmp_path):
    """The station's benchmark is CUHK-PEDES to its loader, and no two workers disagree."""
    arguments = ["--identities", "4", "--views", "4", "--seed", "2", "--layout", "cuhk-pedes", "--domain", "station"]
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, workers in zip(folders, ("1", "2"), strict=True):
        command.main(["--output", str(folder), *arguments, "--test-identities", "1", "--workers", workers])
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in folders
    )
    assert one == two
    rows = [json.loads(line) for line in (folders[0] / "truth.jsonl").read_text().splitlines()]
    for row in rows:
        for facts in row["caption_attributes"]:
            assert set(facts.items()) <= set(row["attributes"].items())
        with Image.open(folders[0] / row["file_name"]) as image:
            assert image.size == (64, 192)
    read_benchmark_as_users_do(
        ["cuhk-pedes", "--source", str(folders[0]), "--output", str(tmp_path / "read"), "--allow-partial"]
    )
    assert (tmp_path / "read").is_dir()


def test_images_differ_in_their_statistics():
    """Coarser, noisier and smaller files, heads larger beside feet; and people fill the image as before."""
    sizes, heads, tops = {}, {}, {}
    for name, domain in DOMAINS.items():
        sizes[name], heads[name], tops[name] = [], [], []
        for number in range(25):
            data, boxes, _, _ = rendered(9, number, 0, domain)
            pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float32)
            sizes[name].append(len(data))
            tops[name].append(pixels.std())
            if {"upper_clothes", "lower_clothes"} <= set(boxes):
                upper, lower = boxes["upper_clothes"], boxes["lower_clothes"]
                heads[name].append((upper[2] - upper[0]) / (lower[2] - lower[0]))
    assert np.mean(sizes["station"]) < 0.9 * np.mean(sizes["street"])
    assert np.mean(heads["station"]) > 1.05 * np.mean(heads["street"])
    assert np.mean(tops["station"]) < np.mean(tops["street"])


def test_an_upright_plane_is_seen_as_a_pinhole_sees_it():
    """The narrowing of a view against the projection of a camera at its distance and pitch."""
    pitch, distance = 0.5, 5.0
    narrowing = math.tan(pitch) / distance
    for x, height in ((0.3, 0.0), (0.4, 1.0), (-0.2, 1.75)):
        x_camera, y_camera, z_camera = camera_rotation(0.0, pitch) @ np.array([x, height, 0.0])
        expected = np.array([x_camera, y_camera]) * distance / (distance - z_camera)
        np.testing.assert_allclose(seen_at(x_camera, y_camera, narrowing), expected, atol=1e-6)


def test_tracer_narrows_a_box_to_a_trapezium():
    solids, narrowing = Solids(), 0.25
    solids.box(Material("prop", (0, 1, 0)), (0.1, 0.7, 0.0), (0.4, 0.6, 0.1), rounding=0.001)
    xs, ys = np.linspace(-1.5, 1.5, 121, dtype=np.float32), np.linspace(3, -1, 161, dtype=np.float32)
    surface = trace(solids.packed(), np.eye(3, dtype=np.float32), xs, ys, narrowing)
    nearer = 1 + narrowing * ys[:, None]
    covered = (np.abs(xs[None] / nearer - 0.1) < 0.4) & (np.abs(ys[:, None] / nearer - 0.7) < 0.6)
    assert ((surface.solid == 0) == covered).mean() > 0.99 and covered.sum() > 500


def _sentence_forms(texts):
    """Sentences with their blanks masked and verbs in the singular."""
    forms = set()
    for text in texts:
        text = re.sub(r"\(([a-z]+)\|[a-z]+\)|\{(is|has|wears|carries|brings|seems)\}", r"\1\2", text)
        text = re.sub(r"\[|\]", "", re.sub(r"\{[^}]+\}", "_", text))
        forms |= {sentence.strip(" .").lower() for sentence in re.split(r"[.;]", text) if sentence.strip(" .")}
    return forms


def _texts(node):
    if isinstance(node, dict):
        return [text for value in node.values() for text in _texts(value)]
    return [text for value in node for text in _texts(value)] if isinstance(node, list) else [node]


def test_the_station_shares_no_sentence_with_the_street_or_luperson_t():
    words = load_words(STATION)
    ours = _sentence_forms(_texts([words["openings"], words["sentences"], words["age_notes"]]))
    assert len(ours) > 35 and "_ was filmed _" in ours
    street = load_words(STREET)
    tables = ("openings", "wears", "carries", "does", "wears_and_carries", "hair", "age_notes")
    theirs = _sentence_forms(_texts([street[table] for table in tables]))
    vocabulary = load_vocabulary()
    for recipe in ("paper", "best"):
        theirs |= _sentence_forms(
            t.text for t in load_templates(vocabulary, vocabulary.templates_for(recipe)).templates
        )
    assert "_ wears _" in theirs
    assert not ours & theirs


def test_the_station_tells_more_in_other_words():
    grams, lengths = {}, {}
    for name, domain in DOMAINS.items():
        texts = []
        for number in range(200):
            person = sample_person(12, number, domain)
            view = sample_view(12, number, 0, person, domain)
            texts += captions_of(12, number, 0, person, view, domain=domain)[0]
        tokens = [re.findall(r"[a-z-]+", text.lower()) for text in texts]
        lengths[name] = np.mean([len(words) for words in tokens])
        grams[name] = {tuple(words[i : i + 4]) for words in tokens for i in range(len(words) - 3)}
    assert lengths["station"] > 1.4 * lengths["street"]
    assert len(grams["station"] & grams["street"]) < 0.02 * len(grams["station"])


def test_station_captions_fit_the_tiny_text_encoder():
    tokenizer = BertTokenizer.from_pretrained(str(ROOT / "unipt" / "unipt-tiny"))
    lengths = []
    for number in range(200):
        person = sample_person(13, number, STATION)
        view = sample_view(13, number, 0, person, STATION)
        captions, _ = captions_of(13, number, 0, person, view, domain=STATION)
        lengths += [len(tokenizer(caption, truncation=False)["input_ids"]) for caption in captions]
    assert np.mean(np.array(lengths) > 100) < 0.02
