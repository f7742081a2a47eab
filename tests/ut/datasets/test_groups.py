# SPDX-License-Identifier: Apache-2.0
"""Which column names people, and what follows where one does."""

import dataclasses

import pytest

from mindface_eri.config import DataConfig
from mindface_eri.datasets.folds import check_groups, fold_splits, people_column
from mindface_eri.datasets.groups import PEOPLE, find_group, groups_of, names_people
from mindface_eri.datasets.labels import read_labels
from mindface_eri.errors import ConfigError, DataError


@pytest.mark.parametrize("word", PEOPLE)
@pytest.mark.parametrize("form", ["{}", "{}_id", "{}ID", "{} Id", "{}-Number", "{}s", "{}.Nr", "{}code"])
def test_people_have_many_spellings(word, form):
    for spelt in (word, word.upper(), word.title()):
        assert names_people(form.format(spelt)) == word


@pytest.mark.parametrize("name", ["Country", "Personality", "Subjective", "Subject_Age", "Session_Date", "Speaker2",
                                  "id", "Impersonal", "Patience", "Actor_Valence", ""])
def test_other_names_name_no_people(name):
    assert names_people(name) is None


def test_a_person_goes_before_a_session_and_a_blank_column_names_nobody():
    columns = {"Session": ("1", "1", "2"), "Country": ("PT",) * 3, "speaker_id": ("a", "b", "a"),
               "Subject": ("", " ", "")}
    assert find_group(columns) == "speaker_id"
    assert find_group({**columns, "Subject": ("", "x", "")}) == "Subject"
    assert find_group({"Session": ("1", "1", "2")}) == "Session"
    assert find_group(columns, "Country") == "Country"
    assert find_group(columns, "none") is find_group(columns, "None") is find_group({}) is None
    with pytest.raises(DataError, match="no column 'country' to group clips by; there are Session, Country, "
                                        "speaker_id, Subject; or say 'none' where clips are independent"):
        find_group(columns, "country")


def test_a_clip_without_a_person_is_a_group_of_its_own():
    assert groups_of(("a", "b"), None) == ["clip a", "clip b"]
    groups = groups_of(("a", "b", "c", "d"), ("x", " x ", "", ""))  # whoever is called as a clip is still no clip
    assert groups[0] == groups[1] and len(set(groups)) == 3
    assert len(set(groups_of(("a", "b"), ("", "a")))) == 2


def test_folds_are_not_cut_through_people_unless_that_is_asked_for(make_records, tmp_path):
    records = make_records(tmp_path, columns={"Participant_ID": [f"p{i // 4}" for i in range(20)]})
    assert people_column(records) == "Participant_ID"
    said = (r"data.folds would cut clip by clip, but the column Participant_ID of .* names people, .*set "
            r"data.group=Participant_ID, or data.group=none where clips are independent all the same")
    with pytest.raises(ConfigError, match=said):
        check_groups(records, DataConfig(folds=3))
    for fine in (DataConfig(), DataConfig(folds=3, group="Participant_ID"), DataConfig(folds=3, group="none")):
        check_groups(records, fine)
    nobody = dataclasses.replace(records, table=tuple({**row, "Participant_ID": ""} for row in records.table))
    check_groups(nobody, DataConfig(folds=3))
    plain = [fold_splits(records, DataConfig(folds=3, fold=fold)) for fold in range(3)]
    assert [fold_splits(records, DataConfig(folds=3, fold=fold, group="none")) for fold in range(3)] == plain
    with pytest.raises(DataError, match="no column 'Speaker' to group clips by"):
        people_column(records, "Speaker")


def test_a_column_of_people_is_no_label(tmp_path):
    """Numbers would pass for intensities."""
    (tmp_path / "t.csv").write_text("File_ID,Split,Joy,PatientID\na,train,0.5,1\nb,val,0.25,0\n")
    manifest = read_labels(tmp_path / "t.csv")
    assert manifest.emotions == ("Joy",) and manifest.extra == ("PatientID",)
    assert [clip.extra["PatientID"] for clip in manifest.clips] == ["1", "0"]
