# SPDX-License-Identifier: Apache-2.0
import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from mindface_eri.config import TrainConfig
from mindface_eri.errors import ConfigError
from mindface_eri.runner.optim import CosineSchedule, PlateauSchedule, create_optimizer, create_schedule, set_lr


def test_lr_halves_after_ten_epochs_without_a_better_metric():
    schedule = PlateauSchedule(1e-4, 0.5, 10)
    assert schedule.update(-0.9)  # below zero, yet better than the best so far, minus infinity
    rates = []
    for _ in range(20):
        assert not schedule.update(-0.9)  # as good is not better
        rates.append(schedule.lr)
    assert rates == [1e-4] * 9 + [5e-5] * 10 + [2.5e-5]
    assert schedule.update(0.1) and schedule.since_best == 0 and schedule.lr == 2.5e-5


def test_nan_is_never_the_best():
    schedule = PlateauSchedule(1.0)
    assert not schedule.update(float("nan"))
    assert schedule.best == float("-inf") and schedule.since_best == 1


def test_cosine_by_hand():
    schedule, rates = CosineSchedule(0.8, epochs=6, warmup=2), []
    for metric in (0.5, float("nan"), 0.4, 0.9, 0.1, 0.1):
        rates.append(schedule.lr)
        schedule.update(metric)
    rises, falls = [0.8 / 3, 1.6 / 3], [0.8, 0.4 * (1 + 2**-0.5), 0.4, 0.4 * (1 - 2**-0.5)]
    np.testing.assert_allclose(rates, rises + falls, rtol=1e-12)
    assert schedule.best == 0.9 and schedule.since_best == 2


@pytest.mark.parametrize("name", ["plateau", "cosine"])
def test_a_schedule_goes_on_where_it_stopped(name):
    train = TrainConfig(schedule=name, epochs=9, warmup=2, lr_patience=2)
    whole, stopped = create_schedule(train), create_schedule(train)
    for metric in (0.3, 0.2, 0.1, 0.2):
        whole.update(metric), stopped.update(metric)
    resumed = create_schedule(train)
    resumed.restore(stopped.state())
    for metric in (0.2, 0.5, 0.1):
        assert resumed.lr == whole.lr
        assert resumed.update(metric) == whole.update(metric)
    assert resumed.state() == whole.state()


@pytest.mark.parametrize("warmup", [2, 3, 50])
def test_a_warmup_as_long_as_training_leaves_the_last_epoch_the_whole_rate(warmup):
    schedule, rates = create_schedule(TrainConfig(lr=0.6, schedule="cosine", epochs=3, warmup=warmup)), []
    for _ in range(3):
        rates.append(schedule.lr)
        schedule.update(0.5)
    assert rates == pytest.approx([0.2, 0.4, 0.6])
    assert schedule.lr == pytest.approx(0)  # and so it stays, were there more epochs
    schedule.update(0.5)
    assert schedule.lr == pytest.approx(0)


def test_cosine_without_warmup_begins_at_the_peak():
    schedule = create_schedule(TrainConfig(lr=0.6, schedule="cosine", epochs=1))
    assert schedule.lr == 0.6
    assert CosineSchedule(0.6, 4).lr == 0.6


def test_plateau_takes_rate_factor_and_patience_from_the_recipe():
    schedule, rates = create_schedule(TrainConfig(lr=0.8, lr_factor=0.25, lr_patience=2)), []
    for metric in (0.5, 0.4, 0.5, 0.4, 0.6, 0.3, 0.3, 0.3, 0.3):
        rates.append(schedule.lr)
        schedule.update(metric)
    assert rates == pytest.approx([0.8, 0.8, 0.8, 0.2, 0.2, 0.2, 0.2, 0.05, 0.05])
    assert schedule.state() == {"lr": pytest.approx(0.0125), "best": 0.6, "epoch": 9, "since_best": 4}


def test_one_epoch_of_patience_lowers_the_rate_at_once_but_not_after_a_best():
    schedule, rates = PlateauSchedule(1.0, 0.5, 1), []
    for metric in (0.1, 0.1, 0.2, 0.0):
        schedule.update(metric)
        rates.append(schedule.lr)
    assert rates == [1, 0.5, 0.5, 0.25]


def test_the_papers_schedule_is_the_default():
    schedule = create_schedule(TrainConfig())
    assert isinstance(schedule, PlateauSchedule)
    assert (schedule.lr, schedule.factor, schedule.patience) == (1e-4, 0.5, 10)
    assert vars(PlateauSchedule(1e-4)) == vars(schedule)


def test_first_adam_step_by_hand():
    weight = Parameter(Tensor([1.0, -2.0], ms.float32), name="weight")
    optimizer = create_optimizer([weight], lr=0.1)
    optimizer((Tensor([0.5, -4.0], ms.float32),))
    np.testing.assert_allclose(weight.asnumpy(), [0.9, -1.9], atol=1e-6)  # lr times the sign of the gradient


def test_decay_is_decoupled_and_leaves_vectors_alone():
    matrix = Parameter(Tensor([[1.0]], ms.float32), name="matrix")
    vector = Parameter(Tensor([1.0], ms.float32), name="vector")
    optimizer = create_optimizer([matrix, vector], lr=0.1, weight_decay=0.5)
    optimizer((Tensor([[0.0]], ms.float32), Tensor([0.0], ms.float32)))
    assert matrix.asnumpy()[0, 0] == pytest.approx(0.95) and vector.asnumpy()[0] == 1.0


def test_adam_by_hand_over_three_steps_and_a_change_of_rate():
    """Small gradients, so that epsilon counts: Adam of Kingma and Ba, with MindSpore's epsilon beside the root of v."""
    gradients = np.array([[2e-7, -0.5], [1e-7, 0.25], [3e-7, 1.0]])
    weight = Parameter(Tensor([1.0, -2.0], ms.float32), name="weight")
    optimizer = create_optimizer(iter([weight]), lr=0.1)
    m, v, expected = np.zeros(2), np.zeros(2), np.array([1.0, -2.0])
    for step, gradient in enumerate(gradients, 1):
        rate = 0.1 if step < 3 else 0.025
        set_lr(optimizer, rate)
        optimizer((Tensor(gradient, ms.float32),))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        expected -= rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(weight.asnumpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("rate, expected", [(0.1, 0.85), (0.2, 0.7)])
def test_decay_comes_before_the_update_and_follows_the_rate(rate, expected):
    """1 - 0.1 * 0.5 - 0.1; after the update it would be 0.9 * 0.95 = 0.855."""
    matrix = Parameter(Tensor([[1.0]], ms.float32), name="matrix")
    optimizer = create_optimizer([matrix], lr=0.1, weight_decay=0.5)
    set_lr(optimizer, rate)
    optimizer((Tensor([[7.0]], ms.float32),))
    assert matrix.asnumpy()[0, 0] == pytest.approx(expected, abs=1e-4)


def test_the_rate_and_the_decay_are_the_papers_unless_told():
    optimizer = create_optimizer([Parameter(Tensor([1.0], ms.float32), name="weight")])
    assert optimizer.learning_rate.asnumpy() == np.float32(TrainConfig().lr)
    with pytest.raises(ConfigError, match="create_optimizer: 'sgd' is unknown; known: adam"):
        create_optimizer([Parameter(Tensor([1.0], ms.float32), name="weight")], "sgd")


def test_without_decay_matrices_keep_their_size():
    matrix = Parameter(Tensor([[1.0, -3.0]], ms.float32), name="matrix")
    create_optimizer([matrix])((Tensor([[0.0, 0.0]], ms.float32),))
    np.testing.assert_array_equal(matrix.asnumpy(), [[1, -3]])


def test_nothing_to_train_is_said():
    with pytest.raises(ConfigError, match="frozen"):
        create_optimizer([])


def test_the_plateau_is_torchs_with_a_patience_of_one_less():
    """After ten epochs without a better metric, where torch's patience of 10 lets an eleventh pass."""
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    metrics = np.maximum.accumulate(random.random(300)) - (random.random(300) < 0.9) * 0.1
    for patience in (1, 3, 10):
        ours, weight = PlateauSchedule(1.0, 0.5, patience), torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.Adam([weight], lr=1.0)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=patience - 1,
                                                            threshold=0, eps=0)
        rates = []
        for metric in metrics:
            ours.update(metric), theirs.step(metric)
            rates.append((ours.lr, optimizer.param_groups[0]["lr"]))
        assert [a for a, _ in rates] == [b for _, b in rates] and 0 < rates[-1][0] < 1


def test_epsilon_is_torchs_scaled_by_the_correction_of_the_second_moment():
    """Step t as torch takes it with 1e-8 / sqrt(1 - 0.999^t), and with 1e-8 where no gradient is tiny."""
    torch = pytest.importorskip("torch")
    gradients = np.array([[2e-7, -0.5], [1e-7, 0.25], [3e-7, 1.0], [-1e-7, 0.1]], np.float32)
    ours = Parameter(Tensor([1.0, -2.0], ms.float32), name="weight")
    theirs = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    plain = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    mine, scaled, usual = create_optimizer([ours], lr=0.1), torch.optim.Adam([theirs], lr=0.1), torch.optim.Adam(
        [plain], lr=0.1)
    for step, gradient in enumerate(gradients, 1):
        mine((Tensor(gradient),))
        theirs.grad, plain.grad = torch.tensor(gradient), torch.tensor(gradient)
        scaled.param_groups[0]["eps"] = 1e-8 / np.sqrt(1 - 0.999**step)
        scaled.step(), usual.step()
    np.testing.assert_allclose(ours.asnumpy(), theirs.detach().numpy(), rtol=1e-5)
    assert abs(plain[0].item() - ours.asnumpy()[0]) > 1e-2 and plain[1].item() == pytest.approx(ours.asnumpy()[1], 1e-5)
