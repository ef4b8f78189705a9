"""A second domain proves that nothing about people is in the code: the same checks over vehicles."""

import re
from pathlib import Path

import numpy as np
import pytest

import dataset_builders
from dataset_builders.combine.captioner import Captioner
from dataset_builders.combine.sampler import CaptionSampler
from dataset_builders.combine.templates import load_templates
from dataset_builders.divide.reading import DEFAULT_VOCABULARY, load_vocabulary
from modeling_unipt.common.user_errors import UserError
from tests.helpers.vehicles import GRAMMAR, VEHICLES

CODE = Path(dataset_builders.__file__).parent
SIGNS = {
    "paint": r"\bpaint\b",
    "motion": r"parked|standing|driving|moving|turning",
    "view": r"\bfrom\b",
    "roof_load": r"rack|box|ladder|sunroof",
    "towing": r"trailer|caravan",
    "sign": r"taxi sign|emergency|advertis",
}


@pytest.fixture(scope="module")
def vocabulary():
    return load_vocabulary(VEHICLES)


def random_sets(vocabulary, count, chance):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield {
            name: attribute.choices[int(rng.integers(len(attribute.choices)))] if rng.random() < chance else None
            for name, attribute in vocabulary.attributes.items()
        }


def test_the_vocabulary_says_nothing_about_people(vocabulary):
    assert vocabulary.name == "vehicles" and {"type", "paint", "roof_load"} <= set(vocabulary.attributes)
    prompts = [prompt for a in vocabulary.attributes.values() for choice in a.choices for prompt in choice.prompts]
    assert not any(re.search("person|pedestrian|man|wear", prompt) for prompt in prompts)
    assert "A photo of a bus." in prompts and "A photo of a vehicle with silver glossy paint." in prompts
    assert len(vocabulary.attributes["paint"].choices) == 16 and vocabulary.regions["top"] == (0, 0.4)


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.7, 1.0])
def test_captions_are_english_and_say_what_is_chosen(vocabulary, chance):
    captioner = Captioner(vocabulary, vocabulary.templates_for("best"))
    for number, chosen in enumerate(random_sets(vocabulary, 1000, chance)):
        said = {name for name, choice in chosen.items() if choice is not None and not choice.negative}
        for caption in (captions := captioner.captions(chosen, 0, str(number), count=2)):
            assert not GRAMMAR.faults(caption), (GRAMMAR.faults(caption), caption)
            for name, sign in SIGNS.items():
                assert len(re.findall(sign, caption)) <= (name in said), (name, caption)
        text = " ".join(captions)
        assert all(re.search(sign, text) for name, sign in SIGNS.items() if name in said), captions
        assert len(set(captions)) == 2


def test_the_sampler_serves_the_domain(vocabulary):
    sampler = CaptionSampler(vocabulary, vocabulary.templates_for("best"))
    captions = {sampler.caption({"type": "bus", "motion": "parked at the roadside"}, 0, "x", e) for e in range(20)}
    assert len(captions) > 5 and all(re.search("bus|coach|parked|kerb", caption) for caption in captions)


def test_contradictions_are_the_domains_own(vocabulary):
    def first(name, value):
        return next(choice for choice in vocabulary.attributes[name].choices if value in choice.value.values())

    broken = vocabulary.contradictions({"type": first("type", "bus"), "sign": first("sign", "taxi")})
    assert [exclusion.attributes for exclusion in broken] == [("type", "sign")]


def test_templates_of_one_domain_are_refused_for_another(vocabulary):
    with pytest.raises(UserError, match=r"vehicles_templates.yaml, line \d+: unknown blank"):
        load_templates(load_vocabulary(), vocabulary.templates_for("best"))
    with pytest.raises(UserError, match=r"templates.yaml, line \d+: word 'age' asks for an unknown field 'age'"):
        load_templates(vocabulary, load_vocabulary().templates_for("paper"))


def test_the_code_that_divides_and_combines_holds_no_word_of_a_domain():
    names = [n for path in (VEHICLES, DEFAULT_VOCABULARY) for n in load_vocabulary(path).attributes]
    rooms = [
        path for room in ("divide", "combine") for path in (CODE / room).glob("*.py") if path.stem != "image_captioner"
    ]
    others = [
        CODE / name
        for name in ("conquer/calibration.py", "conquer/fit.py", "conquer/best_recipe.py", "measure/reliability.py")
    ]
    for path in [*rooms, *others]:
        code = re.sub(r'""".*?"""|#[^\n]*', "", path.read_text(), flags=re.DOTALL)
        quoted = set(re.findall(r"[\"']([a-z_ ]+)[\"']", code))
        assert not quoted & {*names, "he", "she", "they", "man", "woman", "person", "vehicle"}, path.name
