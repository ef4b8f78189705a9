import io

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from dataset_builders.checks.near_duplicates import DISTANCE, MAX_DISTANCE, HashIndex, find_duplicates, mark_shard
from dataset_builders.checks.near_duplicates import perceptual_hash as hash_of
from tests.helpers.people import draw_person


def distance(first, second):
    return (first ^ second).bit_count()


def photograph(seed):
    """Smooth shapes, as photographs have them."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 4, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((96, 256), Image.Resampling.BICUBIC)


def naive(hashes, limit):
    """The definition, all pairs compared."""
    found = []
    for position, value in enumerate(hashes):
        originals = (other for other in range(position) if found[other] < 0 and distance(hashes[other], value) <= limit)
        found.append(next(originals, -1))
    return found


def test_the_hash_survives_what_a_copy_goes_through():
    for seed in range(20):
        person = photograph(seed)
        file = io.BytesIO()
        person.resize((64, 170)).save(file, "JPEG", quality=60)
        assert distance(hash_of(person), hash_of(Image.open(file))) <= DISTANCE
        assert distance(hash_of(person), hash_of(person.point(lambda value: value * 0.8))) <= DISTANCE


def test_the_hash_tells_pictures_apart():
    hashes = [hash_of(photograph(seed)) for seed in range(60)]
    hashes += [hash_of(draw_person(seed)) for seed in range(60)]
    assert min(distance(a, b) for a in hashes for b in hashes if a is not b) > DISTANCE
    assert hash_of(photograph(0)) != hash_of(photograph(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def test_the_hash_is_always_the_same():
    assert f"{hash_of(Image.radial_gradient('L').crop((0, 0, 180, 230))):016x}" == "df2928d3d32d20d2"
    assert hash_of(Image.new("RGB", (40, 90), "teal")) == hash_of(Image.new("L", (7, 7))) == 0
    assert hash_of(Image.new("RGB", (1, 1))) == 0


@pytest.mark.parametrize("limit", [0, 1, 4, DISTANCE, MAX_DISTANCE])
def test_the_banded_search_finds_what_all_pairs_find(limit):
    rng = np.random.default_rng(limit)
    hashes = [int(value) for value in rng.integers(0, 2**64, 60, dtype=np.uint64)]
    for _ in range(240):  # copies of copies, up to one bit beyond the limit
        value = hashes[int(rng.integers(len(hashes)))]
        for bit in rng.choice(64, int(rng.integers(0, limit + 2)), replace=False):
            value ^= 1 << int(bit)
        hashes.append(value)
    order = rng.permutation(len(hashes))
    hashes = [hashes[i] for i in order]
    found = find_duplicates(hashes, limit)
    assert found.tolist() == naive(hashes, limit)
    assert (found >= 0).sum() > 30


def test_long_lists_are_searched_as_short_ones():
    hashes = [value << 40 | value for value in range(1, 400)]  # all share the middle bands
    assert find_duplicates(hashes, 1).tolist() == naive(hashes, 1)


def test_a_duplicate_names_the_first_and_chains_do_not_grow():
    chain = [0xFFFF, 0xFFFF ^ 0b111, 0xFFFF ^ 0b111111, 0xFFFF]
    assert find_duplicates(chain, 3).tolist() == [-1, 0, -1, 0]
    assert find_duplicates([], 3).tolist() == []


def test_an_index_gives_the_first_that_is_near():
    index = HashIndex(2)
    assert index.find(5) is None
    for value in (0b111, 0b1, 0b0):
        index.add(value)
    assert index.find(0b11) == 0 and index.find(0b1000) == 1 and index.find(0xFF00) is None


def make_shard(path):
    schema = pyarrow.schema([("image_id", pyarrow.string()), ("duplicate_of", pyarrow.string())], metadata={"a": "b"})
    table = pyarrow.table({"image_id": list("vwxyz"), "duplicate_of": pyarrow.nulls(5, pyarrow.string())}, schema)
    parquet.write_table(table, path, row_group_size=2)
    return schema


def test_a_shard_is_marked_in_a_new_file_and_keeps_its_rows(tmp_path):
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    schema = make_shard(old)
    before = old.read_bytes()
    assert mark_shard(old, new, schema, {"w": "v", "z": "x"}) > 0
    table = parquet.read_table(new)
    assert table["image_id"].to_pylist() == list("vwxyz") and table.schema.metadata[b"a"] == b"b"
    assert table["duplicate_of"].to_pylist() == [None, "v", None, None, "x"]
    assert old.read_bytes() == before


def test_duplicates_are_dropped_only_when_asked(tmp_path):
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    schema = make_shard(old)
    mark_shard(old, new, schema, {"v": "a", "w": "a", "y": "x"}, drop=True)
    table = parquet.read_table(new)
    assert table["image_id"].to_pylist() == ["x", "z"] and table["duplicate_of"].null_count == 2
    assert parquet.ParquetFile(new).num_row_groups == 2  # the first held duplicates alone
