# SPDX-License-Identifier: Apache-2.0
"""Each option of `model` makes a difference to the network's parameters or answers."""

import zlib
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from fixtures.options import Case, check, leaves
from mindspore import Tensor, nn, ops

from mindface_eri.config import to_dict
from mindface_eri.models import create_model
from mindface_eri.models.fusion import FusionHead
from mindface_eri.models.resnet import ResNetStem

BASES = {}


@pytest.fixture(scope="module")
def stem(tmp_path_factory):
    """A checkpoint that only its stem is taken from."""
    path = str(tmp_path_factory.mktemp("stem") / "stem.ckpt")
    ms.set_seed(8)
    ms.save_checkpoint(create_model("eri_visual", **dict(_SIZES)), path)
    return path


@pytest.fixture
def made(eager, monkeypatch, stem):
    """Dropout leaves out by a rule instead of by chance; `told` has the stems that shall recompute."""
    def construct(self, x):
        if not self.training or not self.p:
            return x
        kept = np.arange(np.prod(x.shape)) * 0.6180339887498949 % 1 >= self.p
        return x * Tensor((kept.reshape(x.shape) / (1 - self.p)).astype(np.float32))

    told = []
    monkeypatch.setattr(ResNetStem, "recompute", lambda self: told.append(self))
    monkeypatch.setattr(nn.Dropout, "construct", construct)
    return SimpleNamespace(bases=BASES, stem=stem, told=told)


def _build(config):
    ms.set_seed(5)
    options = to_dict(config.model)
    return create_model(options.pop("name"), **options)


def _numbers(name, *shape):
    return Tensor(np.random.RandomState(zlib.crc32(name.encode())).normal(size=shape).astype(np.float32))


def _inputs(model, clips=2):
    size = model.crop_size
    made = {"frames": (_numbers("frames", clips, model.frames, size, size, 3) * 60 + 128).astype("uint8"),
            "mfcc": _numbers("mfcc", clips, model.frames, model.mfcc_features),
            "landmarks": _numbers("landmarks", clips, model.frames, 68, 2) * 30,
            "person": ops.abs(_numbers("person", clips, 2, 6, model.mfcc_features // model.mfcc_stack)),
            "present": Tensor(np.ones((clips, len(model.modalities)), np.float32))}
    return [made[name] for name in model.inputs]


def answers(config, made):
    """Of the network at work."""
    return _build(config).set_train(False)(*_inputs(config.model)).asnumpy()


def answers_in_training(config, made):
    """Of the network with dropout."""
    return _build(config).set_train(True)(*_inputs(config.model)).asnumpy()


def fusions_in_training(config, made):
    """Of the head alone, whose inputs are each another number."""
    ms.set_seed(5)
    count = len(config.model.modalities)
    features = [_numbers(f"branch {i}", 64, config.model.frames, config.model.width) for i in range(count)]
    return FusionHead(config.model).set_train(True)(*features, Tensor(np.ones((64, count), np.float32))).asnumpy()


def parameters(config, made):
    """Names, shapes, and which are trained."""
    return [(p.name, p.shape, p.requires_grad) for p in _build(config).get_parameters()]


def rates(config, made):
    """Of dropout, by place."""
    return [(name, cell.p) for name, cell in _build(config).cells_and_names() if isinstance(cell, nn.Dropout)]


def stems_told_to_recompute(config, made):
    """test_resnet.py counts how often such a stem runs for a gradient."""
    before = len(made.told)
    _build(config)
    return len(made.told) - before


_SIZES = {"frames": 3, "crop_size": 32, "mfcc_features": 8, "stem_width": 4, "spatial_depth": 1, "spatial_heads": 2,
          "width": 8, "temporal": "plain", "tcn_dilations": (1,), "temporal_depth": 1, "temporal_heads": 2,
          "emotions": ("Amusement", "Fear")}
START = {"preprocess.frames": 3, "preprocess.face.size": 32, "preprocess.audio.coefficients": 4,
         "preprocess.audio.stack": 2, **{f"model.{name}": value for name, value in _SIZES.items()},
         "model.name": "eri_acoustic"}
SEEN = {"model.name": "eri_visual"}
TEMMA = {"model.temporal": "temma"}
BOTH = {"model.name": "eri_dual_branch", "model.p_both": 0.5}
TAKEN = {"model.name": "eri_features", "model.features": ("fau",), "model.feature_widths": (3,)}
SMALL = {"model.name": "eri_statistics", "model.takes": ("mfcc",)}
MANY = {"model.name": "eri_multi_branch", "model.features": ("fau",), "model.feature_widths": (3,), "model.p_both": 0.0}
CASES = {
    "model.name": [Case(answers, ["eri_visual", "eri_dual_branch"])],
    "model.emotions": [Case(answers, [("Amusement", "Anxiety", "Fear")])],
    "model.frames": [Case(parameters, [5], beside={"preprocess.frames": 5})],
    "model.crop_size": [Case(parameters, [48], SEEN, {"preprocess.face.size": 48})],
    "model.mfcc_features": [Case(parameters, [12], beside={"preprocess.audio.stack": 3})],
    "model.mfcc_stack": [Case(answers, [4], SMALL, {"preprocess.audio.stack": 4, "preprocess.audio.coefficients": 2})],
    "model.stem_width": [Case(parameters, [8], SEEN)],
    "model.stem_checkpoint": [Case(answers, [lambda made: made.stem], SEEN)],
    "model.freeze_stem": [Case(parameters, [True], SEEN)],
    "model.recompute_stem": [Case(stems_told_to_recompute, [True], SEEN)],
    "model.spatial_depth": [Case(parameters, [2], SEEN)],
    "model.spatial_heads": [Case(answers, [1], SEEN)],
    "model.width": [Case(parameters, [4])],
    "model.tcn_kernel": [Case(parameters, [2])],
    "model.tcn_dilations": [Case(parameters, [(1, 2)]), Case(answers, [(2,)])],
    "model.temporal": [Case(answers, ["temma"])],
    "model.temporal_ffn_ratio": [Case(parameters, [0.5, 1.5]), Case(parameters, [0.5, 4.0], TEMMA)],
    "model.temporal_dropout": [Case(rates, [0.0, 0.4]), Case(answers_in_training, [0.0, 0.4], TEMMA)],
    "model.temporal_depth": [Case(parameters, [2])],
    "model.temporal_heads": [Case(answers, [1])],
    "model.ffn_ratio": [Case(parameters, [0.5], SEEN)],
    "model.dropout": [Case(answers_in_training, [0.0, 0.4]), Case(rates, [0.4], SEEN)],
    "model.hidden_dropout": [Case(answers_in_training, [0.0, 0.2], SMALL)],
    "model.normalise_by_person": [Case(answers, [True], SMALL)],
    "model.takes": [Case(answers, [("landmarks",), ("mfcc", "landmarks")], SMALL)],
    "model.p_both": [Case(fusions_in_training, [0.0, 1.0], BOTH)],
    "model.p_visual": [Case(fusions_in_training, [0.0, 0.9], {**BOTH, "model.p_both": 0.0})],
    "model.features": [Case(parameters, [("fau", "gaze")], MANY, {"model.feature_widths": (3, 3)})],
    "model.feature_widths": [Case(parameters, [(4,)], TAKEN), Case(parameters, [(4,)], MANY)],
    "model.p_alone": [Case(fusions_in_training, [(1, 0, 0), (0.2, 0.2, 0.6)], MANY)]}


@pytest.mark.parametrize("name", leaves("model"))
def test_an_option_changes_the_network(name, made):
    check(name, CASES, made, START)


def test_no_case_is_of_an_option_that_is_gone():
    assert set(CASES) <= set(leaves("model"))
