# SPDX-License-Identifier: Apache-2.0
"""The whole route on the generated corpus and on six real clips, so that a newcomer sees it work and what comes out."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Callable, Dict, List, Tuple

from mindface_eri.config import load_config
from mindface_eri.device.hardware import require_mindspore
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.threads import cores

STAGES = ("visual", "acoustic", "fusion")
WARNING = ("This model was trained on drawings and computed voices. It knows nothing about people: the numbers show "
           "that the route works, not what anybody feels.")


def run_demo(out: os.PathLike, *, recipes: os.PathLike = "configs", clips: int = 320, seed: int = 0,
             notify: Callable[[str], None] = print) -> Dict[str, List[list]]:
    """Generates, preprocesses, trains three stages, evaluates, exports and predicts, reusing what is already there.

    Args:
        out: folder for everything.
        recipes: folder with demo_visual.yaml, demo_acoustic.yaml and demo_fusion.yaml.

    Returns:
        Rows of three tables: "validation" (input, clips, Pearson), "export" (file, difference) and "samples".

    Raises:
        ConfigError: no recipes there.
        MissingDependencyError: no MindSpore, told before minutes of drawing.
    """
    require_mindspore("the demonstration")
    from mindface_eri.datasets.build.preprocessing import preprocess_dataset
    from mindface_eri.synthetic.corpus import synthesize

    out, recipes = Path(out), _find_recipes(Path(recipes))
    say = _Narrator(notify)
    say.step(f"generating {clips} clips of drawn people in {out / 'corpus'}")
    synthesize(out / "corpus", clips=clips, seed=seed, duration=(2.0, 3.0), fps=(15, 15), workers=cores())
    samples = _samples(out / "samples", say)
    say.step(f"preprocessing into {out / 'records'}")
    config = load_config(recipes / "demo_fusion.yaml")
    preprocess_dataset(out / "corpus", out / "records", config.preprocess, workers=cores(), resume=True)
    runs = _train(out, recipes, say)
    validation = _evaluate(runs, out / "records", say)
    exported = _export(runs["fusion"], say)
    answers = _predict(runs["fusion"], samples, out, say) if samples else []
    _draw(runs, out, say)
    say.done()
    return {"validation": validation, "export": exported, "samples": answers}


class _Narrator:
    """Says what begins and how long the one before took."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        self.say = notify
        self.start = self.last = time.monotonic()

    def step(self, text: str) -> None:
        now = time.monotonic()
        self.say(f"\n[{now - self.start:4.0f} s] {text}")

    def done(self) -> None:
        self.say(f"\n[{time.monotonic() - self.start:4.0f} s] done")


def _find_recipes(folder: Path) -> Path:
    package = Path(__file__).resolve().parent
    for place in (folder, package.parent / folder, package / folder):  # MindFace keeps recipes in its packages
        if (place / "demo_fusion.yaml").is_file():
            return place
    raise ConfigError(f"{folder}: no demo_fusion.yaml there; run from the repository's root, or name its configs/ "
                      "folder with --recipes")


def _samples(dest: Path, say: _Narrator) -> List[Path]:
    from mindface_eri.datasets.samples import fetch_samples

    say.step("fetching six real clips with sound (CREMA-D, Cao et al. 2014, ODbL 1.0)")
    try:
        return fetch_samples(dest)
    except DataError as error:
        say.say(f"  going on without them: {error}")
        return []


def _train(out: Path, recipes: Path, say: _Narrator) -> Dict[str, Path]:
    """The run folder of each stage."""
    from mindface_eri.runner.trainer import train

    runs = {stage: out / "runs" / stage for stage in STAGES}
    for stage, run in runs.items():
        say.step(f"training {stage}: {run}")
        values = {"data.records": str(out / "records")}
        if stage == "fusion":
            values.update({"train.visual_run": str(runs["visual"]), "train.acoustic_run": str(runs["acoustic"])})
        config = load_config(recipes / f"demo_{stage}.yaml", values=values)
        train(config, run, resume=True)
    return runs


def _evaluate(runs: Dict[str, Path], records: Path, say: _Narrator) -> List[list]:
    """Prints and returns the scores on the validation split, one row an input."""
    from mindface_eri.evaluation.evaluator import evaluate
    from mindface_eri.evaluation.tables import format_table
    from mindface_eri.metrics import pearson

    say.step("evaluating on the validation split of the generated corpus")
    rows: List[list] = []
    headers: Tuple[str, ...] = ()
    for stage, name in zip(STAGES, ("video", "audio", "both")):
        result = evaluate(runs[stage], records, "val")
        rho = pearson(result.predictions, result.labels)
        headers = ("input", "mean Pearson", *result.emotions)
        rows.append([name, float(rho.mean()), *map(float, rho)])
    say.say(format_table(headers, rows, digits=3))
    return rows


def _export(run: Path, say: _Narrator) -> List[list]:
    from mindface_eri.deploy.exporter import export
    from mindface_eri.evaluation.tables import format_table

    say.step("exporting to MindIR, reloading it and comparing with the checkpoint")
    report = export(run, run / "export", formats=("mindir",))
    rows = [[str(item.path), f"{item.max_difference:.1e}"] for item in report.files]
    say.say(format_table(("file", "largest difference"), rows))
    return rows


def _predict(run: Path, samples: List[Path], out: Path, say: _Narrator) -> List[list]:
    """Prints and returns the estimates for the real clips, and draws one of them."""
    from mindface_eri.files import write_text
    from mindface_eri.prediction.answers import format_answers
    from mindface_eri.prediction.predictor import load_predictor

    say.step("estimating the seven intensities of the real clips")
    predictor = load_predictor(run)
    rows = [row for prediction in predictor.predict(samples) for row in prediction.rows()]
    say.say(format_answers(rows, predictor.emotions, "table"))
    say.say(WARNING)
    write_text(out / "samples.csv", format_answers(rows, predictor.emotions, "csv") + "\n")
    return [[row[key] for key in ("File_ID", *predictor.emotions)] for row in rows if "error" not in row]


def _draw(runs: Dict[str, Path], out: Path, say: _Narrator) -> None:
    """The first validation clip beside its labels, as a picture and as a page; and the figures of the fused run."""
    from mindface_eri.datasets.labels import load_manifest
    from mindface_eri.prediction.predictor import load_predictor
    from mindface_eri.report.clip_figure import prediction_figure
    from mindface_eri.report.page import write_page
    from mindface_eri.report.provenance import provenance_of
    from mindface_eri.report.run_figures import write_run_figures
    from mindface_eri.report.style import save_figure

    say.step("drawing what came out")
    clip = next(c for c in load_manifest(out / "corpus").clips if c.split == "val")
    predictor = load_predictor(runs["fusion"])
    prediction = next(predictor.predict([(clip.video, clip.audio)], attention=True))
    facts = provenance_of(runs["fusion"], predictor)
    figure = prediction_figure(prediction, clip.labels)
    for path in save_figure(figure, out / "prediction", formats=("png",)):
        say.say(f"  {path}")
    say.say(f"  {write_page(out / 'prediction.html', prediction, facts, note=predictor.note)}")
    written, _ = write_run_figures(runs["fusion"], out / "figures", formats=("png",))
    say.say(f"  {len(written)} figures in {out / 'figures'}")
