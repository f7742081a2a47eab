# SPDX-License-Identifier: Apache-2.0
"""Several processes, by a stand-in for MindSpore's communication: what each gives is noted, the others' is added."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, ops

from mindface_eri.device.context import Context
from mindface_eri.device.distribute import (
    average_over_ranks,
    gather_rows,
    mean_over_ranks,
    share_from_main,
    sum_over_ranks,
    wait_for_all,
)
from mindface_eri.errors import ERIError
from mindface_eri.metrics import pearson
from mindface_eri.runner.checkpoint import read_checkpoint

pytestmark = pytest.mark.usefixtures("eager")
LONE = Context("CPU", "pynative")
FIRST, SECOND = Context("CPU", "pynative", 0, 2), Context("CPU", "pynative", 1, 2)


@pytest.fixture
def others(monkeypatch):
    """`others.give = f`: the other processes add f(ours) to each sum; `others.sums` has ours, in order."""
    class AllReduce:
        sums, give = [], staticmethod(np.zeros_like)

        def __call__(self, x):
            self.sums.append(x.asnumpy().copy())
            return x + Tensor(AllReduce.give(x.asnumpy()))

    monkeypatch.setattr(ops, "AllReduce", AllReduce)
    return AllReduce


def parameter(value, dtype=ms.float32):
    return Parameter(Tensor(value, dtype), name="p", requires_grad=False)


def test_a_lone_process_speaks_to_nobody(others):
    values, weight = np.array([1.0, 2.0]), parameter([3.0])
    assert sum_over_ranks(values, LONE) is values
    share_from_main([weight], LONE)
    average_over_ranks([weight], LONE)
    wait_for_all(LONE)
    assert mean_over_ranks(1 / 3, LONE) == 1 / 3
    assert weight.asnumpy() == [3] and others.sums == []
    np.testing.assert_array_equal(gather_rows(np.array([2, 0]), np.array([[1.0], [2.0]]), 3, LONE), [[2], [0], [1]])


@pytest.mark.parametrize("context", [FIRST, SECOND])
def test_a_sum_is_that_of_all_in_float32(others, context):
    others.give = staticmethod(lambda ours: 10 * ours + 1)
    found = sum_over_ranks(np.array([[1, 2, 3], [4, 5, 6]], np.float64).T, context)
    np.testing.assert_array_equal(found, [[12, 45], [23, 56], [34, 67]])
    assert found.dtype == np.float32


def test_rows_come_to_their_places_whoever_had_them(others):
    others.give = staticmethod(lambda ours: np.array([[0, 0], [5, 6], [0, 0], [7, 8], [0, 0]], np.float32))
    found = gather_rows(np.array([4, 0, 2]), np.array([[1, 2], [3, 4], [9, 9.5]]), 5, FIRST)
    np.testing.assert_array_equal(others.sums[0], [[3, 4], [0, 0], [9, 9.5], [0, 0], [1, 2]])
    np.testing.assert_array_equal(found, [[3, 4], [5, 6], [9, 9.5], [7, 8], [1, 2]])
    nobody = gather_rows(np.zeros(0, int), np.zeros((0, 2), np.float32), 5, SECOND)
    np.testing.assert_array_equal(nobody, [[0, 0], [5, 6], [0, 0], [7, 8], [0, 0]])


def test_everybody_takes_the_values_of_rank_0(others):
    main, other, scalar = parameter([[1.5, -2.0]]), parameter([[8.0, 9.0]]), parameter(3, ms.int32)
    share_from_main([main], FIRST)
    np.testing.assert_array_equal(others.sums.pop(), [1.5, -2])
    np.testing.assert_array_equal(main.asnumpy(), [[1.5, -2]])
    others.give = staticmethod(lambda ours: np.full_like(ours, 2.5))
    share_from_main([other, scalar], SECOND)
    np.testing.assert_array_equal(others.sums[0], [0, 0, 0])  # both at once
    np.testing.assert_array_equal(other.asnumpy(), [[2.5, 2.5]])
    assert scalar.asnumpy() == 2 and scalar.asnumpy().shape == () and scalar.dtype == ms.int32


def test_an_average_is_over_the_number_of_processes(others):
    others.give = staticmethod(lambda ours: 2 * ours + 1)
    one, two = parameter([[1.0], [3.0]]), parameter(5.0)
    average_over_ranks([one, two], replace(SECOND, world_size=4))
    np.testing.assert_array_equal(one.asnumpy(), [[1], [2.5]])
    assert two.asnumpy() == 4 and two.asnumpy().shape == ()
    average_over_ranks([], SECOND)
    assert [x.tolist() for x in others.sums] == [[1, 3, 5]]


def test_a_mean_is_of_every_processs_number(others):
    others.give = staticmethod(lambda ours: 3 * ours)
    assert mean_over_ranks(0.25, replace(FIRST, world_size=4)) == 0.25


def other_sums(ours):
    """The other process had left-over gradients larger by three, had twice the loss, and evaluated nothing."""
    return ours + 3 if ours.shape == (59,) else 2 * ours if ours.shape == (1,) else np.zeros_like(ours)


@pytest.mark.parametrize("context", [FIRST, SECOND])
def test_an_epoch_of_two_processes(tmp_path, noted_loop, others, context):
    """Left-over gradients are averaged, only rank 0 writes, and at the end they wait."""
    others.give, said = staticmethod(other_sums), []
    loop = noted_loop(tmp_path, epochs=2, context=context, progress=True, notify=said.append, accumulate=2)
    result = loop.run_all()
    for left in loop.step.sums:
        np.testing.assert_array_equal(left.asnumpy(), np.full(left.shape, 3))  # ((0 + 0 + 3) / 2 twice, and half more
    assert [x.shape for x in others.sums] == 2 * [(1,), (59,), (11, 2)] + [(1,)]
    assert [row["loss"] for row in result.history] == [0.75, 0.75]  # of 0.5 here and 1.0 there
    assert loop.task.network.calls == 2 * [*5 * [(True, True)], (False, False)]
    assert result.is_main == context.is_main == (context is FIRST)
    predictions = others.sums[-2]
    expected = loop.task.network(Tensor(loop.task.batches.x["val"])).asnumpy()
    np.testing.assert_array_equal(predictions, expected)
    assert result.history[1]["val_pearson"] == pearson(expected, loop.task.batches.labels("val")).mean()
    written = sorted(path.name for path in tmp_path.rglob("*.*") if path.name != "config.yaml")
    assert written == (["best.ckpt", "last.ckpt", "metrics.jsonl", "predictions_val.csv", "state.ckpt"]
                       if context is FIRST else [])
    assert [line.split(":")[0] for line in said] == (["epoch 1/2", "epoch 2/2"] if context is FIRST else [])


def test_all_end_where_one_has_diverged(tmp_path, noted_loop, others):
    """Else the others would wait for it for ever."""
    others.give = staticmethod(lambda ours: np.full_like(ours, np.nan))
    with pytest.raises(ERIError, match="the loss of epoch 1 is nan"):
        noted_loop(tmp_path, epochs=1, context=SECOND).run_all()


def test_rates_count_the_clips_of_all(tmp_path, noted_loop, others, monkeypatch):
    clock = iter([0.0, 8.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    (row,) = noted_loop(tmp_path, epochs=1, context=SECOND).run_all().history
    assert row["samples_per_second"] == 2 * 20 / 8


def test_the_bar_counts_the_clips_of_all_and_of_epochs_done_before(tmp_path, noted_loop, others, monkeypatch,
                                                                   capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    noted_loop(tmp_path, epochs=1, context=FIRST).run_all()
    assert capsys.readouterr().err == ""
    loop = noted_loop(tmp_path, epochs=3, context=FIRST, progress=True)
    loop.restore(*read_checkpoint(loop.run.state))
    loop.run_all()
    shown = capsys.readouterr().err
    assert shown.endswith("\n") and " 40/120 " in shown and " 120/120 " in shown and "epoch 3/3" in shown  # closed


def test_only_rank_0_mends_what_a_kill_left(tmp_path, noted_loop, others):
    loop = noted_loop(tmp_path, epochs=1, context=FIRST)
    loop.run_all()
    loop.run.checkpoint("last").unlink()
    saved = read_checkpoint(loop.run.state)
    other = noted_loop(tmp_path, epochs=1, context=SECOND, start=8)
    other.restore(*saved)
    assert other.epoch == 1 and not loop.run.checkpoint("last").exists()
    np.testing.assert_array_equal(other.task.network.out.weight.asnumpy(), saved[0]["out.weight"])
    noted_loop(tmp_path, epochs=1, context=FIRST).restore(*saved)
    assert loop.run.checkpoint("last").exists()
