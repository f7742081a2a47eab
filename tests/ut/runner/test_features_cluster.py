# SPDX-License-Identifier: Apache-2.0
"""Cached features computed by a Dask cluster's workers, which this process stands for."""

import mindspore as ms
import numpy as np
import pytest

from mindface_eri.datasets.build.pool import Pool
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.runner import features as module
from mindface_eri.runner.features import extract_features, open_features, run_task


@pytest.fixture(autouse=True)
def nothing_is_compiled(graph_mode):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    module._branch.cache_clear()


@pytest.fixture
def run(tmp_path, mixed_config, drawn_run, replace):
    return drawn_run(tmp_path / "run", replace(mixed_config, train={"batch_size": 4}), 1)


@pytest.fixture
def workers(monkeypatch):
    """The tasks that were asked for; a batch that begins at a position in `broken` fails."""
    class Workers(Pool):
        threads, slots, tasks, broken, closed = 1, 1, [], {}, []

        def __init__(self, address, target, source, *, folder, shared):
            assert (address, target) == ("s:1", "mindface_eri.runner.features:run_task") and folder.is_dir()
            self.source, self.shared = source, shared

        def __call__(self, task):
            self.tasks.append(task)
            return self.broken.get(task.positions[0]) or run_task(self.source, task)

        def close(self):
            self.closed.append(self)

    monkeypatch.setattr(module, "DaskPool", Workers)
    return Workers


def test_features_are_those_of_one_process_and_what_is_finished_stays(run, workers, mixed_records):
    [here] = extract_features(run, splits=("train",), notify=str)
    expected = np.array(open_features(here))
    here.unlink()
    workers.broken = {4: ("failed", "killed", "out of memory?")}
    with pytest.raises(DataError, match="000000004.npy: out of memory.; the same command goes on"):
        extract_features(run, splits=("train",), notify=str, scheduler="s:1")
    assert not here.exists() and workers.closed, "half of them are none"
    workers.broken, workers.tasks[:] = {}, []
    [there] = extract_features(run, splits=("train",), notify=str, scheduler="s:1")
    assert there == here and [task.positions for task in workers.tasks][0] == range(4, 8)
    found = open_features(there)
    assert found.shape == (11, 4, 8) and found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    assert [path for path in there.parent.iterdir() if path != there] == []
    source, shared = workers.closed[-1].source, workers.closed[-1].shared
    assert (source.run, source.records) == (str(run), None) and shared == [run, mixed_records.path / "dataset.json"]
    workers.tasks[:] = []
    extract_features(run, splits=("train",), notify=str, scheduler="s:1")
    assert workers.tasks == [], "found again"


def test_a_worker_with_other_weights_or_records_writes_nothing(run, tmp_path, workers, mixed_records):
    task = module._Task("val", range(4), 4, "val-other-records.npy", str(tmp_path / "part.npy"))
    state, _, reason = run_task(module._Source(str(run), str(mixed_records.path), None), task)
    assert state == "fatal" and "other weights or records there (val-" in reason
    assert not (tmp_path / "part.npy").exists()
    state, _, reason = run_task(module._Source(str(tmp_path / "none"), None, None), task)
    assert state == "fatal" and "none" in reason


def test_opened_records_cannot_be_sent(run, mixed_records, workers):
    with pytest.raises(ConfigError, match="give their folder"):
        extract_features(run, mixed_records, scheduler="s:1")
