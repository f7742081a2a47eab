# SPDX-License-Identifier: Apache-2.0
"""Plans: blocks and shares by hand, and folders that something else, or another plan, has taken."""

import json
import math
from dataclasses import replace

import pytest

from mindface_eri.config import to_dict
from mindface_eri.datasets.build.plan import Plan, make_plan
from mindface_eri.errors import ConfigError, DataError


@pytest.mark.parametrize("clips, shards, size", [
    (1, 1, 1), (10, 1, 10), (40, 1, 32), (2048, 1, 32), (2049, 1, 33), (5000, 1, 79), (33000, 1, 512),
    (10, 2, 2), (100, 3, 9), (2000, 2, 32), (3, 8, 1),
])
def test_blocks_are_some_sixty_four_of_at_most_512_and_four_a_shard(tmp_path, tiny, clips, shards, size, manifest_of):
    plan = make_plan(tmp_path / "out", manifest_of(clips), tiny, resume=False, num_shards=shards)
    assert plan.block_size == size == json.loads((tmp_path / "out/plan.json").read_text())["block_size"]
    assert plan.blocks == math.ceil(clips / size)


@pytest.mark.parametrize("shards", [1, 2, 3, 9])
def test_shards_are_disjoint_and_together_all(tiny, tmp_path, shards, manifest_of):
    plan = Plan(tmp_path, manifest_of(23), tiny, 5)
    assert (plan.blocks, list(plan.positions(0)), list(plan.positions(4))) == (5, [0, 1, 2, 3, 4], [20, 21, 22])
    shares = [plan.shard(shards, index) for index in range(shards)]
    assert shares[0] == list(range(0, 5, shards)) and shares[-1] == list(range(shards - 1, 5, shards))
    positions = [p for share in shares for block in share for p in plan.positions(block)]
    assert sorted(positions) == list(range(23)) and all(
        plan.block_of(p) == b for share in shares for b in share for p in plan.positions(b))


def test_a_plan_says_what_it_was_made_of(tmp_path, tiny, manifest_of):
    manifest = manifest_of(3)
    make_plan(tmp_path / "out", manifest, tiny, resume=False, num_shards=1)
    assert json.loads((tmp_path / "out/plan.json").read_text()) == {
        "format": 1, "clips": 3, "labels": manifest.fingerprint(), "emotions": ["Joy", "Fear"],
        "preprocess": json.loads(json.dumps(to_dict(tiny))), "block_size": 3,
        "fields": ["frames", "mfcc", "present", "timestamps", "boxes", "detected", "landmarks"]}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"plan.json", "records", "work"}


def test_a_plan_keeps_the_block_size_it_was_begun_with(tmp_path, tiny, manifest_of):
    options = {"resume": True, "num_shards": 1}
    make_plan(tmp_path, manifest_of(9), tiny, **options)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "block_size": 2}))
    assert make_plan(tmp_path, manifest_of(9), tiny, **options).block_size == 2
    assert make_plan(tmp_path, manifest_of(9), tiny, resume=False, num_shards=2).block_size == 2
    with pytest.raises(DataError, match="an earlier run wrote there; go on with --resume"):
        make_plan(tmp_path, manifest_of(9), tiny, resume=False, num_shards=1)


@pytest.mark.parametrize("change, message", [
    ({"format": 2}, "format 2, this version writes 1; choose another folder"),
    ({"block_size": 0}, "cannot be read .ValueError: block_size 0"),
    ({"block_size": None}, "cannot be read .TypeError"),
    ({"clips": 8}, r"another label table \(8 clips, now 9; ids, splits or labels differ"),
    ({"labels": "0"}, r"another label table \(9 clips, now 9"),
    ({"emotions": ["Fear", "Joy"]}, "another label table"),
    ({"preprocess": {}}, r"other settings: preprocess\.audio\.coefficients is 4 now, was 128; "),
])
def test_a_plan_of_something_else_is_refused(tmp_path, tiny, change, message, manifest_of):
    make_plan(tmp_path, manifest_of(9), tiny, resume=True, num_shards=1)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=message):
        make_plan(tmp_path, manifest_of(9), tiny, resume=True, num_shards=1)


def test_a_plan_of_before_an_option_was_there_goes_on(tmp_path, tiny, manifest_of):
    """An earlier version did what the option's default does; anything else is another plan."""
    make_plan(tmp_path, manifest_of(9), tiny, resume=True, num_shards=1)
    path = tmp_path / "plan.json"
    told = json.loads(path.read_text())
    del told["preprocess"]["audio"]["cover"]
    path.write_text(json.dumps(told))
    make_plan(tmp_path, manifest_of(9), tiny, resume=True, num_shards=1)
    with pytest.raises(DataError, match="preprocess.audio.cover is 'all' now, was 'centred'; set"):
        make_plan(tmp_path, manifest_of(9), replace(tiny, audio=replace(tiny.audio, cover="all")), resume=True,
                  num_shards=1)


def test_what_cannot_be_planned_is_said(tmp_path, tiny, manifest_of):
    options = {"resume": True, "num_shards": 1}
    with pytest.raises(DataError, match="labels.csv: no clips to preprocess"):
        make_plan(tmp_path, manifest_of(0), tiny, **options)
    (tmp_path / "file").touch()
    (tmp_path / "dataset.json").touch()
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(DataError, match="is taken by something else; choose another folder"):
            make_plan(taken, manifest_of(1), tiny, **options)
    tall = replace(tiny, frames=500, face=replace(tiny.face, size=131))  # 65500 rows of a JPEG
    make_plan(tmp_path / "fits", manifest_of(1), tall, **options)
    with pytest.raises(ConfigError, match=r"preprocess\.face\.size is 65631, one JPEG holds 65500 rows; set .* raw"):
        make_plan(tmp_path / "tall", manifest_of(1), replace(tall, frames=501), **options)
    make_plan(tmp_path / "raw", manifest_of(1), replace(tall, frames=501, storage="raw"), **options)
