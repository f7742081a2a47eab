# SPDX-License-Identifier: Apache-2.0
"""Which columns of a label table mean what."""

import pytest
from fixtures.labels import told, write

from mindface_eri.datasets.label_columns import find_columns
from mindface_eri.datasets.label_import import import_table
from mindface_eri.datasets.spreadsheets import read_sheet
from mindface_eri.datasets.tables import Table
from mindface_eri.errors import DataError


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


@pytest.mark.parametrize("name", ["id", "row_id", "rowID", "Nr", "Lfd. Nr.", "Count"])
def test_a_running_number_is_no_emotion(tmp_path, name):
    rows = "".join(f"{i};v{i};{i % 5 + 1}\n" for i in range(12))
    found = import_table(write(tmp_path, f"{name};video;Joy\n{rows}"))
    assert found.emotions == ("Joy",) and told(found)["also kept"] == name
    assert import_table(write(tmp_path, "video;Placid;Joy\na;1;2\nb;2;1\n")).emotions == ("Placid", "Joy")
    assert import_table(write(tmp_path, f"Sum;video\n{''.join(f'{i};v{i}{chr(10)}' for i in range(12))}")).emotions


SPELLINGS = {
    "id": "File_ID file-name FILE ClipID Clip.Name clip VideoID video_name videofile Video StimulusID stimulus-name "
          "stimulus MediaFile media path FilePath Recording Datei DateiName ID",
    "split": "Split Partition subset Set FOLD",
    "person": "Subj sub PPT PID VP VpN VP-Code Proband Versuchsperson sujet Child Client UserID user",
    "rater": "Rater rater_id RaterName Annotator AnnotatorID coder Coder_ID judge JudgeID Observer Evaluator Labeler "
             "labeller WorkerID worker",
    "emotion": "Emotion emotion_name Affect Category Dimension Variable Item Label",
    "value": "Rating value Score Intensity Response Answer Wert"}
NO_LABELS = ("Comment comments Note Notes Remark Date Time Duration FPS language Ethnicity race Condition Session "
             "trial Order Index Nr No Number Num Row row_no RowNumber lfd Counter Year year_of_birth Alter "
             "Geschlecht Datum Partition subset Set FOLD")


@pytest.mark.parametrize("role", SPELLINGS)
def test_each_role_by_any_of_its_names(role, tmp_path):
    """The other roles have columns of names that are plain; a rating and its emotion need each other."""
    others = {"id": "Clip", "emotion": "Emotion", "value": "Rating"}
    for name in SPELLINGS[role].split():
        columns = {**others, role: name}
        rows = [(row, ["Joy" if what == "emotion" else f"{row}" for what in columns] + ["1"]) for row in (2, 3)]
        found = find_columns(Table(tmp_path, [*columns.values(), "Awe"], rows), {})
        assert found.roles == columns, name


def test_numbers_that_are_no_labels(tmp_path):
    names = NO_LABELS.split()
    rows = [(row, [f"c{row}", "train", *["3"] * len(names), "1"]) for row in (2, 3)]
    found = find_columns(Table(tmp_path, ["Clip", "Split", *names, "Joy"], rows), {})
    assert found.roles == {"id": "Clip", "split": "Split"} and list(found.labels) == ["Joy"]
