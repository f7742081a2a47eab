# SPDX-License-Identifier: Apache-2.0
import hashlib
import os
import re
import stat

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from mindface_eri import files
from mindface_eri.errors import CheckpointError
from mindface_eri.runner.checkpoint import (
    assign_weights,
    check_weights,
    checkpoint_hash,
    load_weights,
    read_checkpoint,
    save_checkpoint,
)


def test_values_and_note_come_back(tmp_path, tiny_network):
    network = tiny_network()
    save_checkpoint(tmp_path / "a.ckpt", network, {"epoch": 3, "best": float("-inf"), "name": "eri ρ"})
    weights, note = read_checkpoint(tmp_path / "a.ckpt")
    assert note == {"epoch": 3, "best": float("-inf"), "name": "eri ρ"}
    assert {name: value.shape for name, value in weights.items()} == {
        p.name: p.shape for p in network.get_parameters()}
    other = tiny_network()
    load_weights(other, weights, "a.ckpt")
    assert all(np.array_equal(p.asnumpy(), weights[p.name]) for p in other.get_parameters())
    assert [f.name for f in tmp_path.iterdir()] == ["a.ckpt"]  # nothing temporary stays


def test_mismatches_are_listed(tiny_network):
    network = tiny_network()
    weights = {p.name: p.asnumpy() for p in network.get_parameters()}
    weights["hidden.weight"] = np.zeros((5, 7), np.float32)
    weights["extra"] = weights.pop("out.bias")
    with pytest.raises(CheckpointError) as caught:
        load_weights(network, weights, "x.ckpt", of="eri_visual")
    text = str(caught.value)
    for part in ("x.ckpt", "eri_visual", "out.bias is missing", "extra is left over", "(5, 7), need (5, 6)"):
        assert part in text


def test_nan_weights_are_refused(tiny_network):
    network = tiny_network()
    weights = {p.name: p.asnumpy() for p in network.get_parameters()}
    weights["out.bias"] = np.array([np.nan, 0], np.float32)
    with pytest.raises(CheckpointError, match="out.bias holds values that are not finite"):
        load_weights(network, weights, "x.ckpt")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_cut_off_file_is_refused(tmp_path, tiny_network, share):
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, tiny_network(), {})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(path)


def test_a_flipped_bit_is_found(tmp_path, tiny_network):
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, tiny_network(), {})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError):
        read_checkpoint(path)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")


def test_the_hash_follows_values_not_order():
    one, two = np.ones(2, np.float32), np.zeros(2, np.float32)
    assert checkpoint_hash({"a": one, "b": two}) == checkpoint_hash({"b": two, "a": one})
    assert checkpoint_hash({"a": one, "b": two}) != checkpoint_hash({"a": two, "b": one})
    assert checkpoint_hash({"a": one}) != checkpoint_hash({"b": one})
    assert checkpoint_hash({"a": one, "b": two}) == hashlib.sha256(
        b"a" + one.tobytes() + b"b" + two.tobytes()).hexdigest()[:16]
    turned = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert checkpoint_hash({"a": turned}) == checkpoint_hash({"a": turned.copy()})


def test_parameters_tensors_and_arrays_are_saved_alike_for_others_to_read(tmp_path, monkeypatch):
    flushed, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (flushed.append(descriptor), fsync(descriptor)))
    save_checkpoint(tmp_path / "a.ckpt", {"p": Parameter(Tensor([1.5, 2.5], ms.float32), name="another"),
                                          "t": Tensor([[3]], ms.int32), "n": np.array([4.0], np.float16)})
    weights, note = read_checkpoint(tmp_path / "a.ckpt")
    assert note == {} and {name: (value.tolist(), value.dtype.name) for name, value in weights.items()} == {
        "p": ([1.5, 2.5], "float32"), "t": ([[3]], "int32"), "n": ([4.0], "float16")}
    assert stat.S_IMODE((tmp_path / "a.ckpt").stat().st_mode) == 0o666 & ~files._UMASK
    assert len(flushed) == 1  # a power cut leaves the old file or the new one


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "a.ckpt", {"w": np.ones(2, np.float32)}, {"epoch": 1})

    def full(objects, path, **options):
        open(path.replace(".ckpt", ".tmp"), "w").close()  # as MindSpore names its own
        raise RuntimeError("no space")

    monkeypatch.setattr(ms, "save_checkpoint", full)
    with pytest.raises(RuntimeError, match="no space"):
        save_checkpoint(tmp_path / "a.ckpt", {"w": np.zeros(2, np.float32)}, {"epoch": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]
    assert read_checkpoint(tmp_path / "a.ckpt")[1] == {"epoch": 1}


def test_checkpoints_of_others_have_no_note_and_a_spoilt_note_is_damage(tmp_path):
    weights = [{"name": "w", "data": Tensor([1.0], ms.float32)}]
    ms.save_checkpoint(weights, str(tmp_path / "plain.ckpt"), append_dict={"epoch": 7})
    values, note = read_checkpoint(tmp_path / "plain.ckpt")
    assert note == {} and values["w"].tolist() == [1.0]
    ms.save_checkpoint(weights, str(tmp_path / "spoilt.ckpt"), append_dict={"mindface_eri": "{half"})
    with pytest.raises(CheckpointError, match=r"spoilt.ckpt: is damaged or no MindSpore checkpoint \(Expecting.*\); "
                       "take another copy, or train again with --resume"):
        read_checkpoint(tmp_path / "spoilt.ckpt")


def test_a_damaged_files_reason_is_one_short_line(tmp_path, monkeypatch):
    (tmp_path / "a.ckpt").write_bytes(b"x")
    for error, reason in ((ValueError("\n  first line " + 200 * "x" + "\nsecond"), "first line " + 149 * "x"),
                          (KeyError(), "KeyError"), (OSError("bad"), "bad")):
        def load(path, error=error, **options):
            assert options == {"crc_check": True}
            raise error

        monkeypatch.setattr(ms, "load_checkpoint", load)
        with pytest.raises(CheckpointError, match=re.escape(f"({reason}); take")):
            read_checkpoint(tmp_path / "a.ckpt")


def test_mismatches_are_counted_beyond_the_fourth():
    wanted = {"b": (3,), "a": (2,), "c": (1,), "scale": ()}
    bad = np.array(np.nan)
    given = {"a": np.zeros(2), "b": np.zeros((3, 1)), "scale": bad, "x": bad, "y": np.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        check_weights(wanted, given, "x.ckpt")
    assert str(caught.value) == (
        "x.ckpt: does not fit this network: c is missing; x is left over; y is left over; b is (3, 1), need (3,); "
        "and 1 more; use the recipe it was trained with")
    del given["y"], given["x"]
    with pytest.raises(CheckpointError) as caught:
        check_weights(wanted, given, "x.ckpt", of="eri_visual")
    assert str(caught.value) == (
        "x.ckpt: does not fit this network (it was written from eri_visual): c is missing; b is (3, 1), need (3,); "
        "scale holds values that are not finite; use the recipe it was trained with")
    check_weights({"a": [2]}, {"a": np.zeros(2)}, "x.ckpt")


def test_values_take_the_type_of_their_parameter(tiny_network):
    network = tiny_network()
    parameters = {p.name: p for p in network.get_parameters()}
    kept = parameters["hidden.bias"].asnumpy().copy()
    assign_weights(parameters, {"out.bias": np.array([0.1, -2], np.float64)})
    assert parameters["out.bias"].dtype == ms.float32
    np.testing.assert_allclose(parameters["out.bias"].asnumpy(), [0.1, -2], rtol=1e-7)
    np.testing.assert_array_equal(parameters["hidden.bias"].asnumpy(), kept)
