# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
import numpy as np
import pytest

from mindface_eri.errors import CheckpointError
from mindface_eri.runner.checkpoint import checkpoint_hash, load_weights, read_checkpoint, save_checkpoint


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
