"""The pages that commands write are what they would write today of the numbers in the repository."""

import json

from tests.helpers.paths import ROOT
from unipt_train import demo_seeds, pointing_game, reproduce
from unipt_train.studies.experiments import EXPERIMENTS

DOCS = ROOT / "docs"


def numbers(name):
    return json.loads((DOCS / f"{name}.json").read_text(encoding="utf-8"))


def page(name):
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def test_the_page_of_the_demos_seeds():
    assert page("demo_seeds") == demo_seeds.markdown(numbers("demo_seeds"))


def test_the_page_of_the_pointing_game():
    assert page("pointing_game") == pointing_game.markdown(numbers("pointing_game"))


def test_the_sections_of_the_reproduction():
    """Its preamble names the machine that measured, which need not be this one."""
    results = numbers("reproduction")
    sections = [reproduce.section(name, each, results[name], times=1) for name, each in EXPERIMENTS.items()]
    assert page("reproduction").endswith("\n".join(sections))


def test_a_thing_that_a_fixed_patch_finds_more_often_is_told():
    def found(share):
        return {"share": share}

    def thing(alone, whole, fixed):
        return {"chance": 0.1, "the thing alone": found(alone), "all that is seen": found(whole)} | {
            "one fixed patch": found(fixed)
        }

    things = {"hat": thing(0.4, 0.6, 0.9), "smoke": thing(0.2, 0.3, 0.25), "umbrella": thing(0.3, 0.3, 0.1)}
    assert pointing_game.findings(things).splitlines() == [
        "* **hat**: right in 40.0 to 60.0 %, which is 4 to 6 times as often as chance.",
        "* **smoke**: right in 20.0 to 30.0 %, which is 2.0 to 3.0 times as often as chance. One fixed patch, which "
        "looks at no image, is right in 25.0 %.",
        "* **umbrella**: right in 30.0 %, which is 3.0 times as often as chance.",
    ]
