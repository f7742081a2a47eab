# SPDX-License-Identifier: Apache-2.0
"""A row for each clip, or for each rating: the mean of its raters, and what is refused by row and column."""

import numpy as np
import pytest
from fixtures.labels import told, write

from mindface_eri.datasets.label_import import Options, import_table
from mindface_eri.errors import DataError

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


def test_a_rating_without_the_name_of_a_rater(tmp_path):
    found = import_table(write(tmp_path, "Coder;id;Joy\nA;1;1\n;1;5\nB;2;3\n"))
    assert found.labels.ravel().tolist() == [0.5, 0.5]
    assert told(found)["raters"] == "3 (one without a name, A, B); their mean counts"
    with pytest.raises(DataError, match="row 3.*has Joy in row 2 already, without the name of a rater too; mend 'Cod"):
        import_table(write(tmp_path, "Coder;id;Joy\n;1;1\n;1;5\nB;2;3\n"))
    with pytest.raises(DataError, match="row 3.*has Joy in row 2 already; where several.*--column rater=NAME"):
        import_table(write(tmp_path, "id;Joy\n1;1\n1;5\n"))


def test_spellings_of_one_name_are_one(tmp_path):
    rows = ["A;01;c1;Joy;1", "B;1;c1;joy;5", "a;1.0;c2; JOY;3", "b ;2;c2;joy;5", "A;2;c3;Fear;4"]
    found = import_table(write(tmp_path, "\n".join(["Coder;Person;id;Emotion;Rating", *rows]).replace("b ;2", "b ;1")))
    assert found.emotions == ("Joy", "Fear") and found.extra["Subject"] == ("01", "01", "2")
    np.testing.assert_allclose(found.labels[:2, 0], [0.5, 0.75])
    assert told(found)["raters"].startswith("2 (A, B)")


def test_a_column_that_another_is_taken_for_is_left_out_with_a_word(tmp_path):
    path = write(tmp_path, "id;VP;Subject;Split;Part;Joy;Site;Date\na;p;x;1;train;1;A;1\na;p;y;2;train;5;A;2\n")
    with pytest.raises(DataError, match="has Joy in row 2 already"):
        import_table(path)
    path.write_text("id;VP;Subject;Split;Part;Coder;Joy;Site;Date\na;p;x;1;train;r;1;A;1\na;p;y;2;train;s;5;A;2\n")
    found = import_table(path, Options(columns={"person": "VP", "split": "Part"}))
    assert found.extra == {"Subject": ("p",), "Site": ("A",)} and found.splits == ("train",)
    assert told(found)["left out"] == "Date: not one value a clip; Subject, Split: another column is taken for it"


@pytest.mark.parametrize("text, name", [
    ("id;Emotion;Rating\na;Age;1\na;Joy;4\n", "Age"), ("id;Emotion;Rating\na;Joy;4\na;Subject;1\n", "Subject"),
    ("id;Emotion;Rating\na;Joy;4\na;Split;1\n", "Split"), ("id;Joy;country\na;1;4\nb;5;2\n", "country")])
def test_a_label_that_would_be_read_as_something_else_is_refused(tmp_path, text, name):
    options = Options(labels=["Joy", name] if name == "country" else None)
    with pytest.raises(DataError, match=f"t.csv: a label cannot be called '{name}'.*rename it"):
        import_table(write(tmp_path, text), options)
