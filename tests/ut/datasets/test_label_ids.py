# SPDX-License-Identifier: Apache-2.0
"""Each clip of a table keeps its own labels: folders before an id tell clips of one name apart."""

from fixtures.labels import people, write

from mindface_eri.cli import main
from mindface_eri.datasets.label_import import import_table
from mindface_eri.datasets.labels import load_manifest, read_labels


def clips_of(out):
    """What file each clip of a folder is, by the first row's label."""
    return [clip.video and clip.video.read_text() for clip in load_manifest(out).clips]


def test_a_folder_before_an_id_tells_the_clips_of_people_apart(tmp_path, capsys):
    media, out = people(tmp_path / "m"), tmp_path / "o"
    words = ["--media", str(media), "--out", str(out)]
    table = write(tmp_path, "video;Joy\nP02/take1;1\nx/p03/take2.mp4;5\n")
    assert main(["labels", str(table), *words]) == 0
    assert clips_of(out) == ["P02/take1.mp4", "P03/take2.mp4"]
    assert [clip.id for clip in load_manifest(out).clips] == ["P02_take1", "P03_take2"]
    rows = "".join(f"P0{person}/take{take};{person}\n" for person in (1, 2, 3, 4) for take in (1, 2))
    table = write(tmp_path, f"video;Joy\n{rows}")
    found = import_table(table)
    assert len(found.ids) == 8 and found.labels[:, 0].tolist() == [0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1], "no means"
    assert main(["labels", str(table), "--media", str(media), "--out", str(tmp_path / "all")]) == 0
    assert clips_of(tmp_path / "all") == [f"P0{p}/take{t}.mp4" for p in (1, 2, 3) for t in (1, 2)] + [None, None]
    capsys.readouterr()
    table = write(tmp_path, "video;Joy\nP02/take1;1\ntake2;5\n")
    assert main(["labels", str(table), *words]) == 1
    assert "row 3: take2 may be P01/take2.mp4, P02/take2.mp4, P03/take2.mp4" in capsys.readouterr().err
    table = write(media, "video;Joy\nP02/take1;1\nP03/take2;5\n")
    assert [clip.video.parent.name for clip in read_labels(table).clips] == ["P02", "P03"]
