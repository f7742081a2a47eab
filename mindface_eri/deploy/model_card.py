# SPDX-License-Identifier: Apache-2.0
"""MODEL_CARD.md beside exported files: what the model is, what it was trained on, how good it was, and what it is for.

`export` fills the facts and replaces them at the next export; what people write around them stays.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from mindface_eri.config import Config
from mindface_eri.datasets.by_person import LEAST
from mindface_eri.deploy.sidecar import sidecar_path
from mindface_eri.errors import ERIError
from mindface_eri.evaluation.runs import read_scored
from mindface_eri.evaluation.scores import HEADERS, score_rows
from mindface_eri.evaluation.small import caution_of_choice
from mindface_eri.evaluation.tables import format_table
from mindface_eri.files import write_text
from mindface_eri.runner.checkpoint import checkpoint_hash
from mindface_eri.runner.inference import resolve_records
from mindface_eri.runner.run_folder import TrainedModel, run_config

NAME = "MODEL_CARD.md"
# What Markdown acts on, bare addresses among it; an underscore within a word is only an underscore.
_MARKDOWN = re.compile(r"[\\`*\[\]#~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=www)\.", re.IGNORECASE)
_BEGIN, _END = "<!-- facts: `mindface-eri export` replaces what is between these marks -->", "<!-- /facts -->"
_CARD = """# Model card: {title}

{facts}

## Intended use

Ranking how strongly reactions look and sound, over many clips of people who agreed to it, in research like that of the
data it was trained on.

## Limits

- It estimates ratings like those it was trained on, not what a person feels, and its numbers mean nothing outside that
  data: other cultures, ages, cameras, microphones and situations.
- Its errors can differ between groups of people. Measure that with `mindface-eri evaluate --by COLUMN` on people like
  yours before using it, and write the result here.
- It is not made for decisions about a person: hiring, schooling, credit, policing, border control, insurance, health.

## To fill in

- Licence of the training data: FILL IN
- Licence of the weights that the visual stem started from (the paper's: DAN's, trained on AffectNet): FILL IN
- Licence of this model, which both of these bind: FILL IN
- Who to ask: FILL IN
"""


def write_model_card(folder: Path, trained: TrainedModel) -> Path:
    """Writes the card, or renews the facts of one that lies there; returns its path.

    A card whose marks were taken out is left as it is.
    """
    path = folder / NAME
    facts = "\n".join([_BEGIN, *_facts(folder, trained), _END])
    if not path.exists():
        write_text(path, _CARD.format(title=plain(trained.model.name), facts=facts))
        return path
    card = path.read_text(encoding="utf-8", errors="replace")
    before, begin, rest = card.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if begin and end:
        write_text(path, before + facts + after)
    return path


def plain(text: object) -> str:
    """Text of others as one line of Markdown that shows it and does nothing else; `|` is left to tables."""
    line = re.sub(r"[\s\x00-\x1f\x7f]+", " ", str(text)).strip()
    return _MARKDOWN.sub(r"\\\g<0>", html.escape(line, quote=False))


def _facts(folder: Path, trained: TrainedModel) -> List[str]:
    config = run_config(trained.run.path) if trained.run else None
    said = _sidecars(folder, trained.model.name)
    return ["", "## Model", "", *_model(trained, said), "",
            "Files, and by how much each one's intensities differ from the checkpoint's at most:", "", _files(said), "",
            "## Data", "", *([f"**{plain(trained.note['about'])}**", ""] if trained.note.get("about") else []),
            _data(config), "", "## Validation", "", *_validation(trained), "",
            "## Preprocessing", "", *_preprocessing(config), ""]


def _sidecars(folder: Path, name: str) -> Dict[str, dict]:
    """What the sidecars of a model's files say, by the file's name; others' .json files are passed over."""
    found = {}
    for file in sorted(folder.glob(f"{name}.*")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            said = json.loads(sidecar_path(file).read_text(encoding="utf-8"))
            found[file.name] = {
                "difference": "not run" if said["max_difference"] is None else f"{said['max_difference']:.1e}",
                "batch": plain(said["batch"] or "any"),
                "versions": ", ".join(f"{plain(key)} {plain(value)}" for key, value in said["versions"].items()),
                "inputs": ", ".join(plain(f"{value['name']} {value['shape']} {value['dtype']}")
                                    for value in said["inputs"])}
    return found


def _model(trained: TrainedModel, said: Dict[str, dict]) -> List[str]:
    """What the network is, takes and gives."""
    model, note = trained.model, trained.note
    facts = [("network", f"{plain(model.name)}, {sum(value.size for value in trained.weights.values()):,} numbers"),
             *(("inputs", one["inputs"]) for one in list(said.values())[:1]),
             ("output", "intensities in (0, 1): " + ", ".join(map(plain, model.emotions))),
             ("weights", f"hash {checkpoint_hash(trained.weights)}")]
    if model.normalise_by_person:
        facts.append(("people", f"needs {LEAST} clips or more of each person together, with a mixture of reactions "
                                "like that in training: a clip's sound counts by how it differs from the others"))
    if "epoch" in note:
        facts.append(("trained", f"epoch {plain(note['epoch'])}"))
    return [f"- {name}: {value}" for name, value in facts]


def _files(said: Dict[str, dict]) -> str:
    return format_table(["file", "batch", "difference", "written by"],
                        [[plain(name), one["batch"], one["difference"], one["versions"]] for name, one in said.items()])


def _data(config: Optional[Config]) -> str:
    try:
        records = resolve_records(None, config or Config())
    except ERIError:
        return "The records that it was trained on are not at hand here. FILL IN"
    counts = ", ".join(f"{count:,} {name}" for name, count in records.splits.items())
    return f"Clips: {counts}. Hash of the records (ids, splits, labels and contents): {plain(records.hash)}."


def _validation(trained: TrainedModel) -> List[str]:
    """Lines of the card: the scores on validation clips, or that there are none at hand."""
    if trained.run is None or trained.path.name != "best.ckpt":
        return ["No predictions of this checkpoint on validation clips are at hand. FILL IN"]
    try:
        scored = read_scored(trained.run.path, "val")
    except ERIError:
        return ["No predictions of validation clips, or no labels for them, are at hand. FILL IN"]
    rows = [[plain(row["emotion"]), *(plain(row[name]) if name == "over" else row[name] for name in HEADERS[1:])]
            for row in score_rows(scored)]
    caution = caution_of_choice(scored)
    return [f"{len(scored.ids):,} validation clips; low and high bound Pearson at 95% by the jackknife over "
            f"{plain(scored.over)}. The checkpoint was chosen by this split, so expect less on new clips.", "",
            format_table(HEADERS, rows), *([] if caution is None else ["", caution])]


def _preprocessing(config: Optional[Config]) -> List[str]:
    if config is None:
        return ["That of the paper, with the sizes above; the sidecar has every value."]
    made = config.preprocess
    facts: List[Tuple[str, object]] = [
        ("frames", made.frames),
        ("face", f"detector {made.face.detector}, mode {made.face.mode}, follow {made.face.follow}"),
        ("crop", f"{made.face.size} pixels, margin {made.face.margin}, aligned {made.face.align}"),
        ("sound", f"{made.audio.sample_rate} Hz, {made.audio.coefficients} MFCC, {made.audio.stack} joined")]
    return [*(f"- {name}: {plain(value)}" for name, value in facts), "", "The sidecar has every value."]
