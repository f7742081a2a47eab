# SPDX-License-Identifier: Apache-2.0
"""From portraits to smiles with what the package brings: morphs of drawn people, and its own model on them."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mindface_eri.prediction.default_model import NOTE
from mindface_eri.synthetic.drawing import Portrait, Pose
from mindface_eri.synthetic.expression import Expression
from mindface_eri.synthetic.people import draw_person

CODE = """
import sys
from mindface_eri.cli import main
status = main(["predict", sys.argv[1], "--format", "json", "--report", sys.argv[2]])
print(status, sorted({"mindspore", "torch"} & set(sys.modules)))
"""
PEOPLE = (0, 1, 3, 4)


def draw_portraits(folder):
    """portraits.csv of drawn people, and their pictures."""
    folder.mkdir()
    rows = ["person,neutral,expressive"]
    for seed in PEOPLE:
        rng = np.random.default_rng(seed)
        drawn = Portrait(draw_person(rng), (400, 300), rng)
        for name, smile in (("rest", 0.0), ("smile", 1.0)):
            Image.fromarray(drawn.frame(Expression(smile=smile), Pose())).save(folder / f"{seed}_{name}.png")
        rows.append(f"p{seed},{seed}_rest.png,{seed}_smile.png")
    (folder / "portraits.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.slow
def test_smiles_of_morphed_people_are_told_without_a_model_of_ones_own(tmp_path):
    pytest.importorskip("onnxruntime")
    faces, corpus, pages = draw_portraits(tmp_path / "faces"), tmp_path / "corpus", tmp_path / "pages"
    words = ["synthesize", corpus, "--portraits", faces, "--emotion", "Smile", "--clips", "12", "--fps", "10", "12",
             "--duration", "2", "2.5", "--workers", "2"]
    made = subprocess.run([sys.executable, "-m", "mindface_eri.cli", *map(str, words)], capture_output=True, text=True)
    assert made.returncode == 0 and "12 clips of 4 people" in made.stdout, made.stderr
    run = subprocess.run([sys.executable, "-c", CODE, str(corpus), str(pages)], capture_output=True, text=True)
    *answer, last = run.stdout.strip().splitlines()
    assert last == "0 []" and NOTE in run.stderr  # MindSpore is not needed
    found = {f"[{row['File_ID']}]": row["Smile"] for row in json.loads("\n".join(answer))}
    with open(corpus / "data_info.csv", newline="", encoding="utf-8") as stream:
        labels = {row["File_ID"]: float(row["Smile"]) for row in csv.DictReader(stream)}
    assert found.keys() == labels.keys()
    assert np.corrcoef([found[name] for name in labels], list(labels.values()))[0, 1] > 0.6
    assert NOTE in (pages / "00000.html").read_text(encoding="utf-8")
