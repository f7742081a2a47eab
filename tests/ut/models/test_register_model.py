# SPDX-License-Identifier: Apache-2.0
"""A network of somebody else's module: by name wherever ours are, trained, scored, exported and read back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mindspore import nn

from mindface_eri import config as config_module
from mindface_eri import create_model, evaluate, export, list_models, load_predictor, register_model, train
from mindface_eri.config import NETWORK_INPUTS, ModelConfig
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import ConfigError
from mindface_eri.models import registry
from mindface_eri.models.summary import summarize
from mindface_eri.plugins import PLUGINS_VARIABLE
from mindface_eri.prediction.inputs import modalities_needed

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.fixture
def names(monkeypatch):
    """The package's own networks; what is registered in the test is forgotten after it."""
    monkeypatch.delenv(PLUGINS_VARIABLE, raising=False)
    monkeypatch.setattr(registry.MODELS, "_makers", dict(registry.OWN))
    monkeypatch.setattr(config_module, "NETWORK_INPUTS", {name: NETWORK_INPUTS[name] for name in registry.OWN})
    monkeypatch.setattr(registry, "NETWORK_INPUTS", config_module.NETWORK_INPUTS)


@pytest.fixture
def plugin(names, monkeypatch):
    """The environment names the module; nobody has imported it."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.setenv(PLUGINS_VARIABLE, "pooled_sound")
    sys.modules.pop("pooled_sound", None)
    yield
    sys.modules.pop("pooled_sound", None)


class Nothing(nn.Cell):
    """Of use only as a name."""

    def __init__(self, config):
        super().__init__()
        self.config = config


@pytest.mark.parametrize("inputs", [("mfcc",), ("present", "frames"), ("features", "mfcc"), "frames"])
def test_inputs_in_the_order_of_the_call(names, inputs):
    assert register_model("nothing", inputs=inputs)(Nothing) is Nothing
    sets = {"features": ("a", "b"), "feature_widths": (3, 2)} if "features" in inputs else {}
    network = create_model("nothing", width=7, **sets)
    assert type(network) is Nothing and network.config.width == 7  # its own affair: no heads share its channels
    assert network.config.inputs == {"features": ("a", "b", "mfcc"), "frames": ("frames",)}.get(
        inputs if isinstance(inputs, str) else inputs[0], inputs)
    assert "nothing" in list_models()


@pytest.mark.parametrize("name, inputs, message", [
    ("n", (), r"model 'n': inputs are \[\], need some of frames, mfcc, landmarks, features, present, each once"),
    ("n", ("mfcc", "mfcc"), "each once"), ("n", ("sound",), r"\['sound'\], need"), ("a/b", ("mfcc",), "exported files"),
    ("", ("mfcc",), "model '': a name"),
    ("eri_visual", ("mfcc",), "model 'eri_visual' is mindface_eri.models.dual_branch.VisualNetwork already")])
def test_what_cannot_be_registered(names, name, inputs, message):
    with pytest.raises(ConfigError, match=message):
        register_model(name, inputs=inputs)(Nothing)
    assert ModelConfig("eri_visual").inputs == ("frames",)
    assert list_models() == ["eri_acoustic", "eri_dual_branch", "eri_features", "eri_multi_branch", "eri_statistics",
                             "eri_visual"]


@pytest.mark.parametrize("inputs, fields, message", [
    (("mfcc",), {"freeze_stem": True}, "model.freeze_stem is set, but nothing has no visual stem"),
    (("frames",), {"stem_checkpoint": "x"}, "Nothing has no `stem`"),
    (("mfcc",), {"features": ("a",), "feature_widths": (3,)}, "but nothing takes none"),
    (("features",), {}, "but nothing takes at least one")])
def test_settings_that_such_a_network_cannot_have(names, inputs, fields, message):
    register_model("nothing", inputs=inputs)(Nothing)
    with pytest.raises(ConfigError, match=message):
        create_model("nothing", **fields)


def test_a_name_that_only_the_environment_knows(plugin):
    assert "pooled_sound" not in sys.modules
    assert ModelConfig("pooled_sound").inputs == ("mfcc",) and "pooled_sound" in list_models()
    with pytest.raises(ConfigError, match="^model 'poold_sound' is unknown; did you mean 'pooled_sound'"):
        ModelConfig("poold_sound").inputs  # noqa: B018
    with pytest.raises(ConfigError, match="only the layers of eri_visual"):
        summarize(ModelConfig("pooled_sound"))


def test_trained_scored_exported_and_read_back(plugin, tiny, tmp_path):
    config = tiny.config(model={"name": "pooled_sound"}, train={"epochs": 2})
    result = train(config, tmp_path / "run", progress=False, notify=lambda text: None)
    ours = load_predictor(result)
    records = open_records(tiny.records)
    assert modalities_needed(ours.model) == [1] and ours.model.name == "pooled_sound"
    mean, = (p.asnumpy() for p in ours._backend._compute.__self__.get_parameters() if p.name == "mfcc_mean")
    np.testing.assert_array_equal(mean, records.mfcc_mean)  # as training found it
    scored = evaluate(result, tiny.records)
    assert scored.predictions.shape == (7, 2) and scored.mean == pytest.approx(result.best_metric, abs=1e-6)

    file, = export(result).files
    assert file.path == tmp_path / "run" / "export" / "pooled_sound.mindir" and file.max_difference < 1e-6
    mfcc = np.random.default_rng(0).normal(size=(3, 4, 8)).astype(np.float32)
    np.testing.assert_allclose(load_predictor(file.path).predict_arrays(mfcc=mfcc), ours.predict_arrays(mfcc=mfcc),
                               atol=1e-6)

    code = ("import json, sys; import numpy as np; from mindface_eri import load_predictor; "
            "p = load_predictor(sys.argv[1]); x = np.full((1, 4, 8), 0.5, np.float32); "
            "print(json.dumps([p.model.inputs, p.predict_arrays(mfcc=x).tolist()]))")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PLUGINS), *filter(None, sys.path)])}
    said = subprocess.run([sys.executable, "-c", code, str(file.path)], env=environment, capture_output=True, text=True,
                          check=True)
    inputs, answers = json.loads(said.stdout.strip().splitlines()[-1])
    assert inputs == ["mfcc"]
    np.testing.assert_allclose(answers, ours.predict_arrays(mfcc=np.full((1, 4, 8), 0.5, np.float32)), atol=1e-6)
