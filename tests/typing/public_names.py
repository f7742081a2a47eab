# SPDX-License-Identifier: Apache-2.0
"""Every public name with what users pass it. `make lint` has mypy read this; nothing runs it.

`assert_type` fails where a type got lost on the way. A wrong use carries `type: ignore`, and mypy complains about one
that it need not ignore: so each has to stay an error.
"""

from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import mindspore as ms
import numpy as np
from mindspore import nn
from typing_extensions import assert_type

import mindface_eri
from mindface_eri.config import Config
from mindface_eri.datasets.build.preprocessing import PreprocessResult
from mindface_eri.datasets.records import Records
from mindface_eri.deploy.convert import ConversionReport
from mindface_eri.deploy.exporter import ExportReport
from mindface_eri.evaluation.evaluator import EvaluationResult
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.prediction.predictor import Predictor
from mindface_eri.preprocess.clip import Clip
from mindface_eri.preprocess.detectors import Detection
from mindface_eri.runner.trainer import TrainResult


class Place:
    """A path of somebody's own."""

    def __fspath__(self) -> str:
        return "clips/one.mp4"


def about() -> None:
    assert_type(mindface_eri.__version__, str)
    assert_type(mindface_eri.versions(), Dict[str, str])
    assert_type(mindface_eri.list_models(), List[str])


def recipes(config: Config) -> None:
    for path in ("a.yaml", Path("a.yaml"), Place()):
        mindface_eri.save_config(config, path)
        assert_type(mindface_eri.load_config(path, ["train.lr=3e-4"], {"data.records": Path("records")}), Config)
    mindface_eri.load_config()
    mindface_eri.load_config(3)  # type: ignore[arg-type]
    mindface_eri.load_config("a.yaml", overrides=[1])  # type: ignore[list-item]


def data(config: Config) -> None:
    for folder in ("here", Path("here"), Place()):
        assert_type(mindface_eri.synthesize(folder, clips=8, duration=(2.0, 3.0)), Dict[str, object])
        assert_type(mindface_eri.fetch_samples(folder, archive=folder), List[Path])
        assert_type(mindface_eri.preprocess_dataset(folder, folder, config.preprocess, workers=2), PreprocessResult)
        assert_type(mindface_eri.open_records(folder), Records)
        mindface_eri.create_dataset(folder, "train", batch_size=4, num_shards=2, shard_id=1)
        assert_type(mindface_eri.extract_clip(folder, config, audio_path=folder), Clip)
        assert_type(mindface_eri.extract_clip(folder, config.preprocess, instants=lambda seconds: 8), Clip)
    mindface_eri.create_dataset(mindface_eri.open_records("here"), ids=("a", "b"), batch_size=2, columns=("mfcc",))
    mindface_eri.open_records(None)  # type: ignore[arg-type]
    mindface_eri.create_dataset(1, "train", batch_size=4)  # type: ignore[arg-type]
    mindface_eri.create_dataset("here", "train")  # type: ignore[call-arg]
    mindface_eri.preprocess_dataset("here", "there", "recipe.yaml")  # type: ignore[arg-type]
    mindface_eri.synthesize("here", clips="8")  # type: ignore[arg-type]


@mindface_eri.register_loss("mine")
class Mine(nn.Cell):
    """A loss."""

    def construct(self, predictions: ms.Tensor, labels: ms.Tensor) -> ms.Tensor:
        return abs(predictions - labels).mean()


@mindface_eri.register_model("mine", inputs=("mfcc",))
class OwnNetwork:
    """A network of somebody's own."""

    def __init__(self, config: object) -> None:
        self.config = config


@mindface_eri.register_detector("mine")
class Found:
    """A detector."""

    colour, max_height = True, 480

    def find(self, image: np.ndarray) -> List[Detection]:
        return [Detection(np.array([0, 0, *image.shape[:2]], np.float32), True)]


def own_training() -> None:
    mindface_eri.prepare_device("CPU")
    network = mindface_eri.create_model("eri_acoustic", emotions=("Joy", "Fear"), mfcc_features=64)
    mindface_eri.create_optimizer(network.trainable_params(), "adam", lr=1e-4, weight_decay=0.01)
    mindface_eri.create_loss("mine")
    metric = mindface_eri.PearsonMetric()
    metric.update(np.zeros((2, 7)), np.zeros((2, 7)))
    assert_type(metric.eval(), float)
    assert_type(Found().max_height, int)  # a registered class stays what it is
    mindface_eri.create_optimizer(network.trainable_params(), 1e-4)  # type: ignore[arg-type]
    mindface_eri.create_loss(Mine)  # type: ignore[arg-type]


def whole_training(config: Config) -> None:
    for recipe in ("a.yaml", Path("a.yaml"), Place(), config):
        result = mindface_eri.train(recipe, "run", resume=True, notify=print)
    assert_type(result, TrainResult)
    for run in ("run", Path("run"), Place(), result, result.run):
        assert_type(mindface_eri.evaluate(run, "records", "test", out="table.csv"), EvaluationResult)
        assert_type(mindface_eri.export(run, "out", formats=("onnx",)), ExportReport)
        assert_type(mindface_eri.load_predictor(run, which="last", device="CPU"), Predictor)
        assert_type(mindface_eri.convert_weights(run, "stem.ckpt", config=config.model), ConversionReport)
    mindface_eri.evaluate("run", mindface_eri.open_records("records"), out=Path("table.csv"))
    mindface_eri.train(1, "run")  # type: ignore[arg-type]
    mindface_eri.train("a.yaml")  # type: ignore[call-arg]
    mindface_eri.evaluate(config)  # type: ignore[arg-type]
    mindface_eri.export("run", formats=3)  # type: ignore[arg-type]
    mindface_eri.convert_weights("resnet.pth")  # type: ignore[call-arg]


def answers(clip: Clip) -> None:
    predictor = mindface_eri.load_predictor("run")
    predictions = predictor.predict(["a.mp4", Path("b.mp4"), Place(), ("c.mp4", "c.wav"), (Path("d.mp4"), None), clip],
                                    window=12, features={"fau": "folder"}, notify=print)
    assert_type(predictions, Iterator[Prediction])
    paths = [Path("a.mp4")]
    pairs: List[Tuple[Path, Optional[Path]]] = [(Path("a.mp4"), None)]
    for prediction in (*predictor.predict(paths), *predictor.predict(pairs), *predictor.predict(iter([clip]))):
        assert_type(prediction.name, str)
    mindface_eri.load_predictor(3)  # type: ignore[arg-type]
    mindface_eri.load_predicter("run")  # type: ignore[attr-defined]
    predictor.predict(Path("a.mp4"))  # type: ignore[arg-type]
    predictor.predict([1])  # type: ignore[list-item]
    predictor.predict(paths, workers="all")  # type: ignore[arg-type]
