# SPDX-License-Identifier: Apache-2.0
"""Label tables as people have them: what is understood, what is told, and what is refused with its row and column."""

import os

import numpy as np
import pytest
from fixtures.labels import told, write

from mindface_eri.cli import main
from mindface_eri.datasets.label_import import Options, import_table
from mindface_eri.datasets.labels import load_manifest, read_labels
from mindface_eri.errors import ConfigError, DataError


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
