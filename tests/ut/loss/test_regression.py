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
import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from mindface_eri.errors import ConfigError
from mindface_eri.loss import create_loss, list_losses

PREDICTIONS = np.array([[0.1, 0.9], [0.4, 0.5], [0.7, 0.4], [0.2, 0.1]], np.float32)
LABELS = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.5, 0.0]], np.float32)


def value(name, predictions=PREDICTIONS, labels=LABELS):
    return float(create_loss(name)(Tensor(predictions), Tensor(labels)).asnumpy())


def test_mse_by_hand():
    # squares: 0.01 0.01 0.09 0.09 | 0.01 0.00 0.16 0.01 -> 0.38 / 8
    assert value("mse") == pytest.approx(0.38 / 8, abs=1e-6)


def test_pearson_is_one_minus_the_mean_correlation():
    rho = [np.corrcoef(PREDICTIONS[:, e], LABELS[:, e])[0, 1] for e in range(2)]
    assert value("pearson") == pytest.approx(1 - np.mean(rho), abs=1e-4)


def test_ccc_by_its_definition():
    rho = []
    for e in range(2):
        x, y = PREDICTIONS[:, e], LABELS[:, e]
        rho.append(2 * np.mean((x - x.mean()) * (y - y.mean())) / (x.var() + y.var() + (x.mean() - y.mean()) ** 2))
    assert value("ccc") == pytest.approx(1 - np.mean(rho), abs=1e-4)


def test_ccc_minds_an_offset_and_pearson_does_not():
    shifted = PREDICTIONS + np.float32(0.3)
    assert value("pearson", shifted) == pytest.approx(value("pearson"), abs=1e-5)
    assert value("ccc", shifted) > value("ccc") + 0.05


@pytest.mark.parametrize("name", list_losses())
def test_constant_labels_give_finite_gradients(name):
    loss, labels = create_loss(name), Tensor(np.full((4, 2), 0.5, np.float32))
    gradient = ops.grad(loss)(Tensor(PREDICTIONS), labels).asnumpy()
    assert gradient.shape == (4, 2) and np.isfinite(gradient).all()


def test_half_precision_predictions_give_a_float32_loss():
    loss = create_loss("mse")(Tensor(PREDICTIONS.astype(np.float16)), Tensor(LABELS))
    assert loss.dtype == ms.float32


def test_unknown_name_suggests():
    with pytest.raises(ConfigError, match="did you mean 'pearson'"):
        create_loss("pearsn")
