# SPDX-License-Identifier: Apache-2.0
"""Label tables as people have them: what is understood, what is told, and what is refused with its row and column."""

import math
import os

import numpy as np
import pytest

from mindface_eri.cli import main
from mindface_eri.datasets.label_columns import find_columns
from mindface_eri.datasets.label_import import Options, import_table
from mindface_eri.datasets.labels import load_manifest, read_labels
from mindface_eri.datasets.spreadsheets import read_sheet, value_of
from mindface_eri.errors import ConfigError, DataError, MissingDependencyError


def write(folder, text, name="t.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def told(imported):
    return dict(imported.understood)


@pytest.mark.parametrize("text, encoding, how", [
    ("Clip;Ärger\na;0,5\nb;1\n", "cp1252", "text in Windows-1252 (guessed), separated by semicolons, decimal commas"),
    ("Clip\tÄrger\na\t0.5\nb\t1\n", "utf-16", "text in UTF-16, separated by tabs"),
    ("Clip,Ärger\r\na,\"0,5\"\r\n\r\nb,1\r\n", "utf-8-sig", "text in UTF-8, separated by commas"),
    ("Clip|Ärger\na|.5\nb|100%\n", "utf-8", "text in UTF-8, separated by bars"),
    ("Study 3;;\n;;\nClip;Ärger;\na;0,5;\nb;1;\n", "utf-8",
     "text in UTF-8, separated by semicolons, decimal commas; 1 row above the names passed over")])
def test_separators_encodings_and_decimal_marks(tmp_path, text, encoding, how):
    sheet = read_sheet(write(tmp_path, text, encoding=encoding))
    assert (sheet.table.header, sheet.how) == (["Clip", "Ärger"], how)
    assert [value_of(cells[1]) for _, cells in sheet.table.rows] in ([0.5, 1], [0.5, 100])


def test_what_a_number_may_look_like():
    words = {"3": 3, " 0.5": 0.5, "0,5": 0.5, "-1,25": -1.25, "50 %": 50, "1e-3": 0.001, ",5": 0.5}
    assert [value_of(text) for text in words] == list(words.values())
    assert all(math.isnan(value_of(text)) for text in ("", "NA", "n/a", "-", ".", "k.A."))
    for text in ("1,2,3", "half", "1_0", "1.2,3"):
        with pytest.raises(ValueError):
            value_of(text)


@pytest.mark.parametrize("text, said", [
    ("a;b\n1;2;3\n", "row 2: 3 fields, the header has 2"), ("a;b\n1\n", "row 2: 1 fields, the header has 2"),
    ("a;a\n1;2\n", "row 1: column 2 has the name 'a', which another has too"), ("a;\n1;2\n", "is no table|has no name"),
    ("only\n1\n", "is no table: it needs a row of names and rows below"), ("a;b\n", "is no table"),
    ("\0;a\n1;2\n", "no text in")])
def test_what_is_no_table_is_refused(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        read_sheet(write(tmp_path, text))


def test_a_workbook_is_read_sheet_by_sheet(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["what this is"])
    for title, rows in {"Ratings": [["Video", "Joy", None], ["7.mp4", 0.25, None], [8, 1.0], [9, None]],
                        "Old": [["a", "b"], [1, 2]]}.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(tmp_path / "b.xlsx")
    found = read_sheet(tmp_path / "b.xlsx")
    assert found.how == "workbook, sheet 'Ratings' (not read: Old; --sheet names one)"
    assert found.table.rows == [(2, ["7.mp4", "0.25"]), (3, ["8", "1"]), (4, ["9", ""])]
    assert read_sheet(tmp_path / "b.xlsx", "Old").table.header == ["a", "b"]
    with pytest.raises(DataError, match="has no sheet 'New'; it has Sheet, Ratings, Old"):
        read_sheet(tmp_path / "b.xlsx", "New")
    with pytest.raises(DataError, match="is no workbook"):
        read_sheet(write(tmp_path, "no", "c.xlsx"))


def test_a_workbook_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(MissingDependencyError, match=r"workbooks need openpyxl: pip install 'mindface_eri\[xlsx\]'"):
        read_sheet(tmp_path / "b.xlsx")


def test_columns_are_known_by_their_synonyms(tmp_path):
    table = read_sheet(write(tmp_path, "VP-Code;Stimulus ID;SUBSET;Coder_ID;Joy;Age;Comment;Emotion\n"
                                       "a;1;x;r;3;30;no;2\nb;2;x;r;4;31;9;3\n")).table
    columns = find_columns(table, {})
    assert columns.roles == {"id": "Stimulus ID", "split": "SUBSET", "person": "VP-Code", "rater": "Coder_ID"}
    assert list(columns.labels) == ["Joy", "Emotion"] and columns.other == ("Age", "Comment") and not columns.long
    named = find_columns(table, {"id": "Comment"}, ["Age"])
    assert named.roles["id"] == "Comment" and list(named.labels) == ["Age"]
    raters = find_columns(read_sheet(write(tmp_path, "id;Joy_R1;Joy (rater 2);coder1_Fear;coder2_Fear;Anger1;Awe_r1\n"
                                                     "a;1;2;3;4;5;6\n")).table, {})
    assert list(raters.labels.values()) == [("Joy", "1"), ("Joy", "2"), ("Fear", "1"), ("Fear", "2"), ("Anger1", ""),
                                            ("Awe_r1", "")]
    for text, options, said in (("a;b\nx;1\n", {}, "which column names the clips.*--column id=NAME"),
                                ("id;b\nx;y\n", {}, "no column of numbers to be a label; there are b"),
                                ("id;b\nx;1\n", {"id": "c"}, "no column 'c'; there are id, b")):
        with pytest.raises(DataError, match=said):
            find_columns(read_sheet(write(tmp_path, text)).table, options)


LONG = """Coder,Clip,Person,Emotion,Rating,Split,Date
A,v/1.mp4,p,Joy,1,train,x
B,v/1.mp4,p,Joy,3,train,y
A,v/1.mp4,p,Fear,7,train,x
A,[2],q,Joy,7,dev,x
B,[2],q,Joy,,dev,x
"""


def test_a_row_for_each_rating_becomes_a_row_a_clip(tmp_path):
    found = import_table(write(tmp_path, LONG))
    assert (found.ids, found.splits, found.emotions) == (("1", "2"), ("train", "val"), ("Joy", "Fear"))
    np.testing.assert_allclose(found.labels, [[1 / 6, 1], [1, np.nan]])  # of 1 to 7: the mean of 0 and 1/3
    assert found.extra == {"Subject": ("p", "q")}
    words = told(found)
    assert words["form"] == "long: emotions in 'Emotion', ratings in 'Rating'"
    assert words["raters"] == "2 (A, B); their mean counts" and words["unknown"].startswith("1 of 4 labels;")
    assert words["agreement"].startswith("Joy 0.00, Fear nan (Krippendorff's alpha, interval;")
    assert words["left out"] == "Date: not one value a clip"
    assert words["scale"] == "1 to 7 -> 0 to 1 (guessed from ratings of 1 to 7; --scale LOW:HIGH says it)"


@pytest.mark.parametrize("old, new, said", [
    ("A,v/1.mp4,p,Fear,7", "A,v/1.mp4,p,Fear,much", r"t.csv, row 4, column 'Rating': 'much' is not a number"),
    ("B,v/1.mp4,p,Joy,3", "A,v/1.mp4,p,Joy,3",
     "row 3, column 'Rating': clip '1' has Joy in row 2 already, by rater 'A' too; mend 'Coder'"),
    ("B,v/1.mp4,p,Joy,3,train,y", "A,v/1.mp4,p,Joy,1,train,x",
     "has Joy in row 2 already; the rows are alike: take one"),
    ("B,v/1.mp4,p,Joy,3,train", "B,v/1.mp4,p,Joy,3,dev",
     "row 3, column 'Split': 'dev', but clip '1' has 'train' in row 2"),
    ("A,[2],q", "A,,q", "row 5, column 'Clip': the id is empty"),
    ("A,[2],q,Joy,7,dev,x\nB,[2],q,Joy,,dev", "A,[2],q,Joy,7,maybe,x\nB,[2],q,Joy,,maybe",
     "row 5, column 'Split': split 'maybe' is unknown; expected one of train, val, test")])
def test_a_fault_is_named_by_row_and_column(tmp_path, old, new, said):
    assert old in LONG
    with pytest.raises(DataError, match=said):
        import_table(write(tmp_path, LONG.replace(old, new)))


def test_scales(tmp_path):
    path = write(tmp_path, "id;Joy;Fear\na;1;2\nb;4;7\n")
    np.testing.assert_allclose(import_table(path, Options(scale=(0, 10))).labels, [[0.1, 0.2], [0.4, 0.7]])
    with pytest.raises(DataError, match="row 3, column 'Fear': 7 is outside the scale 1 to 5"):
        import_table(path, Options(scale=(1, 5)))
    with pytest.raises(ConfigError, match="--scale 5:1"):
        import_table(path, Options(scale=(5, 1)))
    assert told(import_table(write(tmp_path, "id;Joy\na;0\nb;0,25\n")))["scale"] == "0 to 1"
    with pytest.raises(DataError, match="'Joy' is on no usual scale; say --scale"):
        import_table(write(tmp_path, "id;Joy\na;-2\nb;3\n"))
    with pytest.raises(DataError, match="'Joy' looks like a scale up to 5, 'Pulse' like one up to 100; name"):
        import_table(write(tmp_path, "id;Joy;Pulse\na;1;60\nb;5;90\n"))
    assert import_table(write(tmp_path, "id;Joy;Pulse\na;1;60\nb;5;90\n"), Options(labels=["Joy"])).emotions == ("Joy",)


def test_splits_are_made_by_person_and_always_the_same(tmp_path):
    rows = "".join(f"c{i};p{i % 10};{i % 5 + 1}\n" for i in range(40))
    path = write(tmp_path, f"id;Participant;Joy\n{rows}c98;p3;\nc99;nobody rated;\n")
    found = import_table(path)
    where = {}
    for split, person in zip(found.splits, found.extra["Subject"]):
        where.setdefault(person, set()).add(split)
    assert len(where) == 11 and all(len(splits) == 1 for splits in where.values())
    assert where["nobody rated"] == {"test"} and found.splits[40] == found.splits[3]
    assert 4 <= found.splits.count("val") <= 9 and 5 <= found.splits.count("test") <= 10
    assert import_table(path).splits == found.splits != import_table(path, Options(seed=1)).splits
    assert "made by person" in told(found)["splits"] and told(found)["people"] == "11, named in 'Participant'"
    lone = told(import_table(write(tmp_path, "id;Joy\na;1\nb;2\n")))
    assert "clip by clip" in lone["splits"] and "--column person=NAME" in lone["splits"]
    both = import_table(write(tmp_path, "id;Subject;Split;Joy\na;p;train;1\nb;p;val;2\nc;;val;2\n"))
    assert told(both)["people"] == ("1, named in 'Subject'; 1 clips name nobody (a blank is not who stands above it); "
                                    "1 of them stand in several splits, such as p: a network that knows a person "
                                    "scores too well")


def test_the_command_writes_what_preprocessing_reads(tmp_path, capsys):
    media = tmp_path / "videos" / "sub"
    media.mkdir(parents=True)
    for name in ("00007.mp4", "Anna_1.MOV", "other.mp4"):
        (media / name).touch()
    table = write(tmp_path, "File;VP;Joy;Fear;Note\n7;x;1;;hm\nvideos/anna_1.mov;y;4;5;\ngone.mp4;x;2;3;\n")
    out = tmp_path / "out"
    assert main(["labels", str(table), "--media", str(tmp_path / "videos"), "--out", str(out), "--scale", "1:5"]) == 0
    shown = capsys.readouterr().out
    assert "2 of 3 clips found; 2 are spelt otherwise there, such as 7; none for gone" in shown
    assert f"go on with: mindface-eri preprocess {out} RECORDS" in shown and "'model.emotions=[Joy, Fear]'" in shown
    assert "guessed" not in shown
    manifest = load_manifest(out)
    assert (manifest.emotions, manifest.extra) == (("Joy", "Fear"), ("Subject", "Note"))
    assert [clip.id for clip in manifest.clips] == ["00007", "Anna_1", "gone"]
    np.testing.assert_allclose(manifest.labels(), [[0, np.nan], [0.75, 1], [0.25, 0.5]])
    assert [clip.video and os.path.realpath(clip.video) for clip in manifest.clips] == [
        str(media / "00007.mp4"), str(media / "Anna_1.MOV"), None]
    assert main(["labels", str(table), "--media", str(tmp_path / "videos"), "--out", str(out)]) == 0  # again
    for words, status, said in ((["--scale", "7"], 2, "--scale 7: expected LOW:HIGH"),
                                (["--column", "who=VP"], 2, "--column who: expected ROLE=NAME with a role of id"),
                                (["--media", str(out)], 1, "")):
        assert main(["labels", str(table), "--out", str(tmp_path / "o"), *words]) in (0, status)
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_from_a_spreadsheet_to_a_trained_network(extractor, tmp_path):
    """In graph mode, as runs have it: labels that are missing in part make no loss NaN."""
    import mindspore

    from mindface_eri.config import load_config
    from mindface_eri.datasets.build.preprocessing import preprocess_dataset
    from mindface_eri.runner.trainer import train

    (tmp_path / "m").mkdir()
    rows = ["Video;Participant;Joy;Fear"]
    for i in range(24):
        (tmp_path / "m" / f"{i}.mp4").write_text(str(i + 1))
        rows.append(f"{i};p{i % 8};{1 + i % 7};" + ("" if i % 5 == 0 else f"{1 + i % 3}"))
    table = write(tmp_path, "\n".join(rows) + "\n")
    assert main(["labels", str(table), "--media", str(tmp_path / "m"), "--out", str(tmp_path / "d")]) == 0
    config = load_config("demo_acoustic", [
        "preprocess={frames: 4, face: {size: 32}, audio: {coefficients: 4, stack: 2}}", "model.emotions=[Joy, Fear]",
        "model={width: 8, temporal_depth: 1, temporal_heads: 2, tcn_dilations: [1]}", "train.epochs=2",
        "train.batch_size=5", f"data.records={tmp_path / 'r'}"])
    preprocess_dataset(tmp_path / "d", tmp_path / "r", config.preprocess, extractor=extractor, progress=False)
    said = []
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    history = train(config, tmp_path / "run", progress=False, notify=said.append).history
    assert any("lack some of their labels: the others count" in line for line in said)
    assert all(0 < row["loss"] < 2 and -1 <= row["val_pearson"] <= 1 for row in history), history


def test_media_that_are_not_there_or_meant_twice_are_refused(tmp_path):
    table = write(tmp_path, "File;Joy\n7;0\n07;1\n")
    (tmp_path / "m").mkdir()
    words = ["labels", str(table), "--out", str(tmp_path / "o"), "--media"]
    assert main([*words, str(tmp_path / "none")]) == 1 and main([*words, str(tmp_path / "m")]) == 1
    (tmp_path / "m" / "007.mp4").touch()
    assert main([*words, str(tmp_path / "m")]) == 1
    assert not (tmp_path / "o").exists()


def test_another_table_is_read_where_a_data_set_is_asked_for(tmp_path, caplog):
    (tmp_path / "a.mp4").touch()
    manifest = read_labels(write(tmp_path, "Clip;Joy;VP\na;1;x\nb;5;y\n"))
    assert manifest.emotions == ("Joy",) and manifest.clips[0].video == tmp_path / "a.mp4"
    assert manifest.labels().ravel().tolist() == [0, 1] and manifest.extra == ("Subject",)
    assert "read as table: text in UTF-8, separated by semicolons; form: wide" in caplog.text
    assert "scale: 1 to 5 -> 0 to 1 (guessed" in caplog.text and "`mindface-eri labels` can be told" in caplog.text
    caplog.clear()
    assert load_manifest(write(tmp_path, "File_ID,Split,Joy\na,train,0.5\n")).labels()[0, 0] == 0.5 and not caplog.text
    assert load_manifest(write(tmp_path, "Clip\tJoy\na\t0.5\n", "t.tsv")).emotions == ("Joy",)
