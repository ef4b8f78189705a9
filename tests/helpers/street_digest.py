"""Renders people as the command does; as a program it prints what the street's first images hash to.

OPENBLAS_CORETYPE=Haswell python -m tests.helpers.street_digest SEED
"""

import hashlib
import json
import sys

import numpy as np

from dataset_builders.synthetic_pedestrians.domains import STREET, Domain
from dataset_builders.synthetic_pedestrians.people import (
    CAMERAS,
    Person,
    View,
    flat_attributes,
    sample_person,
    sample_view,
)
from dataset_builders.synthetic_pedestrians.render import Boxes, render
from dataset_builders.synthetic_pedestrians.scenery import CameraStyle
from dataset_builders.synthetic_pedestrians.write_world import captions_of


def rendered(seed: int, number: int, view_number: int, domain: Domain) -> tuple[bytes, Boxes, Person, View]:
    """(JPEG bytes, boxes, person, view) of an image."""
    person = sample_person(seed, number, domain)
    view = sample_view(seed, number, view_number, person, domain)
    style = CameraStyle(seed, CAMERAS.index(view.camera), domain)
    rng = np.random.default_rng([seed, number, 1 + view_number, 1])
    return *render(person, view, style, rng), person, view


def street_digest(seed: int) -> str:
    """SHA-256 of the first 4 people of a world, 2 views each: images, boxes, attributes and captions."""
    digest = hashlib.sha256()
    for number in range(4):
        for view_number in range(2):
            data, boxes, person, view = rendered(seed, number, view_number, STREET)
            captions = captions_of(seed, number, view_number, person, view, boxes)
            digest.update(data)
            digest.update(json.dumps([flat_attributes(person, view), boxes, captions]).encode())
    return digest.hexdigest()


if __name__ == "__main__":
    print(street_digest(int(sys.argv[1])))
