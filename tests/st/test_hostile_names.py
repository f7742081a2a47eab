# SPDX-License-Identifier: Apache-2.0
"""Names that attack what shows or opens them: paths, HTML, formulas. Each comes through whole, or is refused."""

import csv
import io
import json
import shutil

import pytest

from mindface_eri.datasets.labels import load_manifest
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import DataError

pytestmark = pytest.mark.slow

IDS = ("<img src=x onerror=alert(1)>", "=1+1", "+1", "-1", "@SUM(A1)", "a, b", 'q"q', "'", "x..", "名前🙂",
       "%s{0}$HOME", "x" * 240)
EMOTIONS = ("<script>alert(1)<\u2215script>", '=HYPERLINK("x"), "..\\x"')


@pytest.fixture(scope="module")
def hostile(tiny, tmp_path_factory):
    """Clips and emotions with such names, taken through the whole route: (folder of media, records, run)."""
    root = tmp_path_factory.mktemp("hostile")
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["File_ID", "Split", *EMOTIONS, "Country"])
    (root / "data").mkdir()
    for number, clip_id in enumerate(IDS):
        shutil.copy(tiny.corpus / "train" / "mp4" / f"{number % 4:05d}.mp4", root / "data" / f"{clip_id}.mp4")
        split = ("Train", "Train", "Val")[number % 3]
        writer.writerow([f"[{clip_id}]", split, number / 12, 1 - number / 12, "=1+1"])
    (root / "data" / "data_info.csv").write_text(table.getvalue(), encoding="utf-8")
    recipe = tiny.recipe.read_text(encoding="utf-8").replace("[Joy, Fear]", json.dumps(EMOTIONS))
    (root / "recipe.yaml").write_text(recipe, encoding="utf-8")
    config = ("--config", root / "recipe.yaml")
    for words in (("preprocess", root / "data", root / "records", *config, "--workers", 1, "--preview", 2),
                  ("train", *config, "--data", root / "records", "--out", root / "run")):
        status, said = tiny.run(*words)
        assert status == 0, said
    return root


def test_ids_and_emotions_come_through_every_table(hostile, tiny):
    records = open_records(hostile / "records")
    assert set(records.ids()) == set(IDS) and records.emotions == EMOTIONS
    with open(hostile / "run" / "predictions_val.csv", newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    assert tuple(header[1:]) == EMOTIONS  # as they are: a submission is compared letter by letter
    assert {row[0] for row in rows} == {f"[{clip_id}]" for clip_id in records.ids("val")}
    assert len(list((hostile / "records" / "preview").glob("*.png"))) == 2
    for words in (("evaluate", hostile / "run"), ("figures", hostile / "run", "--format", "png"),
                  ("evaluate", "--predictions", hostile / "run" / "predictions_val.csv", "--labels",
                   hostile / "data" / "data_info.csv", "--by", "Country")):
        status, said = tiny.run(*words)
        assert status == 0, said
    assert sorted(path.name for path in hostile.iterdir()) == ["data", "recipe.yaml", "records", "run"]


def test_pages_hold_them_as_text(hostile, tiny, tmp_path):
    status, said = tiny.run("predict", hostile / "data", "--model", hostile / "run", "--report", tmp_path / "pages",
                            "--out", tmp_path / "rows.csv")
    assert status == 0, said
    pages = list((tmp_path / "pages").glob("*.html"))
    assert len(pages) == len(IDS) + 1
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "<img src=x" not in text and "<script>alert" not in text
    with open(tmp_path / "rows.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert len(rows) == len(IDS) + 1
    assert not [cell for row in rows for cell in row if cell[:1] in "=+-@" and cell[:1]], "a spreadsheet would run it"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pages", "rows.csv"]


@pytest.mark.parametrize("clip_id", ["../x", "a/b", "..", "a\\b", "C:x", "a\nb", "a\tb", "", "[]"])
def test_ids_that_name_places_are_refused(clip_id, tmp_path):
    table = io.StringIO()
    csv.writer(table).writerows([["File_ID", "Split", "Joy"], [clip_id, "Train", 1]])
    (tmp_path / "data_info.csv").write_text(table.getvalue(), encoding="utf-8")
    with pytest.raises(DataError, match="row [23].*File_ID"):
        load_manifest(tmp_path)
