"""The loop: that it learns, that a seed means what it says, and that it leaves the rest of the world alone."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet_lib.data.images import ImageSet, load_fashion_mnist
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.training import loop
from resnet_lib.training import recipe as recipe_module
from resnet_lib.training.batches import augmented, batches
from resnet_lib.training.devices import reproducible, threads_for
from resnet_lib.training.fast import GraphedStep
from resnet_lib.training.history import EpochRecord, History
from resnet_lib.training.loop import Recipe, evaluate, seeded, train


@pytest.fixture(scope="module")
def data() -> ImageSet:
    return load_fashion_mnist("train").first(640).pooled()


def small_net(seed: int = 0) -> nn.Module:
    with seeded(seed):
        return cifar_resnet(8, width=4, in_channels=1)


def test_it_learns(data: ImageSet) -> None:
    history = train(small_net(), data, Recipe(steps=60, batch_size=32))
    assert history.final_error(10) < history.error[0] - 0.2
    assert len(history) == len(history.lr) == len(history.error) == 60


def test_same_seed_same_run_and_another_seed_another(data: ImageSet) -> None:
    recipe = Recipe(steps=6, augment=True)
    one, two, three = (train(small_net(), data, recipe, seed=seed) for seed in (1, 1, 2))
    assert one.loss == two.loss
    assert one.loss[0] != three.loss[0]


def test_one_step_is_sgd_by_hand(data: ImageSet) -> None:
    """The first step against the formula w <- w - lr (g + wd w), computed here."""
    recipe = Recipe(steps=1, batch_size=16, schedule="constant", peak_lr=0.05, weight_decay=0.01)
    net = small_net()
    expected = copy.deepcopy(net)
    images, labels = next(batches(data, recipe, 0, 0, 1))
    loss = cross_entropy(expected(images), labels)
    gradients = torch.autograd.grad(loss, list(expected.parameters()))
    history = train(net, data, recipe, seed=0)
    assert history.loss[0] == pytest.approx(loss.item(), rel=1e-5)
    for after, before, gradient in zip(net.parameters(), expected.parameters(), gradients, strict=True):
        torch.testing.assert_close(after, before - 0.05 * (gradient + 0.01 * before), rtol=1e-4, atol=1e-6)


def test_every_image_once_per_epoch(data: ImageSet) -> None:
    numbered = ImageSet(torch.arange(100.0).view(100, 1, 1, 1), torch.arange(100), ("x",))
    recipe = Recipe(batch_size=10)
    orders = []
    for epoch in (0, 1):
        labels = torch.cat([labels for _, labels in batches(numbered, recipe, 0, epoch, 99)])
        assert labels.sort().values.tolist() == list(range(100))
        orders.append(labels.tolist())
    assert orders[0] != orders[1]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [1, 1, 1, 1]), ("milestones", [1, 1, 0.1, 0.01]), ("paper", [0.1, 1, 0.1, 0.01])],
)
def test_schedules(schedule: str, expected: list[float], data: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_module, "WARM_STEPS", 5)
    recipe = Recipe(steps=40, batch_size=8, peak_lr=0.02, schedule=schedule)
    lr = train(small_net(), data, recipe).lr
    assert [round(lr[step] / 0.02, 6) for step in (0, 19, 20, 30)] == expected


def test_one_cycle_rises_and_falls(data: ImageSet) -> None:
    lr = train(small_net(), data, Recipe(steps=40, batch_size=8)).lr
    peak = lr.index(max(lr))
    assert max(lr) == pytest.approx(0.1, rel=0.01) and 8 <= peak <= 14
    assert lr[:peak] == sorted(lr[:peak]) and lr[peak:] == sorted(lr[peak:], reverse=True) and lr[-1] < 0.001


def test_epochs_and_examination(data: ImageSet) -> None:
    test_data = data.first(100)
    net = small_net()
    history = train(net, data, Recipe(batch_size=64, epochs=2), test_data=test_data)
    assert len(history) == 20 and [record.epoch for record in history.epochs] == [1, 2]
    assert history.epochs[-1].test_error == evaluate(net, test_data).error
    assert History.from_dict(history.to_dict()) == history


def test_evaluate_restores_the_mode_and_touches_no_statistics(data: ImageSet) -> None:
    for training in (True, False):
        net = small_net().train(training)
        before = copy.deepcopy(net.state_dict())
        evaluation = evaluate(net, data, batch_size=100)
        assert net.training is training
        assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
        with torch.no_grad():
            logits = net.eval()(data.images)
        assert evaluation.error == pytest.approx((logits.argmax(1) != data.labels).double().mean().item())
        assert evaluation.loss == pytest.approx(cross_entropy(logits, data.labels).item(), rel=1e-4)


def test_the_learners_random_numbers_stay_theirs(data: ImageSet) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(small_net(), data, Recipe(steps=2, augment=True))
    assert torch.equal(torch.rand(3), expected)


def test_augmentation_shifts_and_mirrors() -> None:
    """Every result is a crop of the padded image, mirrored or not."""
    images = torch.randn(40, 2, 6, 6)
    result = augmented(images, torch.Generator().manual_seed(0), border=2)
    assert result.shape == images.shape
    padded = torch.nn.functional.pad(images, (2,) * 4, value=images.amin().item())
    seen = set()
    for before, after in zip(padded, result, strict=True):
        crops = {
            (row, column, mirrored): before[:, row : row + 6, column : column + 6].flip(-1 if mirrored else ())
            for row in range(5)
            for column in range(5)
            for mirrored in (False, True)
        }
        matches = [key for key, crop in crops.items() if torch.equal(crop, after)]
        assert matches
        seen.add(matches[0])
    assert len(seen) > 15 and {key[2] for key in seen} == {False, True}


def test_callbacks_see_every_step(data: ImageSet) -> None:
    seen: list[tuple[int, int]] = []
    train(small_net(), data, Recipe(steps=3), progress=lambda history, total: seen.append((len(history), total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"steps": 0}, ValueError, "steps must be an int of at least 1, got 0"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be an int"),
        ({"peak_lr": -1}, ValueError, "peak_lr must be a number above 0, got -1"),
        ({"schedule": "cosine"}, ValueError, "schedule must be one of 'one-cycle'"),
        ({"epochs": "3"}, TypeError, "epochs must be an int"),
        ({"optimizer": "adam"}, ValueError, "optimizer must be one of 'sgd', 'adamw', got 'adam'"),
        ({"decayed": "none"}, ValueError, "decayed must be one of 'all', 'weights', 'gammas'"),
        ({"precision": "half"}, ValueError, "precision must be one of 'float32', 'bfloat16'"),
    ],
)
def test_recipes_that_make_no_sense(arguments: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Recipe(**arguments)


def test_batch_larger_than_the_data(data: ImageSet) -> None:
    with pytest.raises(ValueError, match="batch_size must be at most the 640 images"):
        train(small_net(), data, Recipe(batch_size=1000))


@pytest.mark.parametrize(
    ("decayed", "moved"), [("all", {"conv", "norm", "bias"}), ("weights", {"conv"}), ("gammas", {"norm"})]
)
def test_decay_acts_where_it_is_told_to(decayed: str, moved: set[str], data: ImageSet) -> None:
    """A second run with and without decay differs in the first step by lr · decay · w, and only there."""
    start, ends = small_net(), []
    with torch.no_grad():
        for parameter in start.parameters():  # so that biases, which start at 0, would show it too
            parameter += 0.1
    for decay in (0.0, 0.1):
        net = copy.deepcopy(start)
        train(net, data, Recipe(steps=1, batch_size=16, schedule="constant", weight_decay=decay, decayed=decayed))
        ends.append(net)
    kinds = {"conv": "layer1.0.conv1.weight", "norm": "layer1.0.bn1.weight", "bias": "layer1.0.bn1.bias"}
    for kind, name in kinds.items():
        plain, decayed_one = (net.get_parameter(name) for net in ends)
        expected = plain - 0.1 * 0.1 * start.get_parameter(name) * (kind in moved)
        torch.testing.assert_close(decayed_one, expected, rtol=1e-4, atol=1e-6)


def test_first_adamw_step_is_the_rate(data: ImageSet) -> None:
    """Adam's first step moves every weight by the rate, against the sign of its gradient."""
    net, before = small_net(), small_net()
    recipe = Recipe(steps=1, optimizer="adamw", peak_lr=0.01, schedule="constant", weight_decay=0)
    train(net, data, recipe)
    step = (net.conv1.weight - before.conv1.weight).abs()
    assert step.median().item() == pytest.approx(0.01, rel=0.01)


def test_bfloat16_is_near_float32_and_not_equal(data: ImageSet) -> None:
    exact, short = (
        train(small_net(), data, Recipe(steps=5, precision=precision)).loss for precision in ("float32", "bfloat16")
    )
    assert exact != short and exact == pytest.approx(short, rel=0.03)


class PretendGraph:
    """What torch.cuda is asked for where there is no GPU: a capture computes nothing, a replay what was captured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.capturing, self.replays = False, 0
        self.graphed: GraphedStep | None = None

        @contextmanager
        def capture(_: object) -> Iterator[None]:
            self.capturing = True
            yield
            self.capturing = False

        class Stream:
            def wait_stream(self, other: object) -> None: ...

        for name, stand_in in {
            "CUDAGraph": lambda: self,
            "graph": capture,
            "Stream": Stream,
            "default_stream": Stream,
            "stream": lambda _: nullcontext(),
            "synchronize": lambda: None,
        }.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)

    def wrap(self, step: Callable, optimizer: torch.optim.Optimizer) -> GraphedStep:
        def take(images: Tensor, labels: Tensor) -> Tensor:
            return torch.zeros(2) if self.capturing else step(images, labels)

        self.graphed = GraphedStep(take, optimizer)
        return self.graphed

    def replay(self) -> None:
        """Reads where the graph reads: the batch, and the rate, which Python's number has no part in."""
        self.replays += 1
        graphed: Any = self.graphed
        (group,) = graphed.optimizer.param_groups
        python_s, group["lr"] = group["lr"], graphed.rate.item()
        graphed.both.copy_(graphed.step(graphed.images, graphed.labels))
        group["lr"] = python_s


@pytest.mark.parametrize(
    "changes", [{}, {"augment": True}, {"optimizer": "adamw", "peak_lr": 3e-3}, {"schedule": "milestones"}]
)
def test_graph_takes_the_same_steps(changes: dict, data: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the border of an epoch and of a read-back. The graph itself is a stand-in: here is no GPU."""
    recipe = Recipe(epochs=4, batch_size=128, **changes)
    slow = train(small_net(), data, recipe, seed=1)
    graph = PretendGraph(monkeypatch)
    run, seen = loop.start(small_net(), recipe, 20), []
    step = graph.wrap(partial(loop.take_step, run, run.model, 10, "float32"), run.optimizer)
    with threads_for(data.images):  # as `train` does: two threads add in another order
        for epoch in range(4):
            for _ in loop.take_steps(run, step, batches(data, recipe, 1, epoch, 99), read_every=3):
                seen.append(len(run.history))
    assert slow.loss == pytest.approx(run.history.loss, rel=1e-5) and slow.lr == run.history.lr
    assert seen == [3, 5, 8, 10, 13, 15, 18, 20] and graph.replays == 17


def test_reproducible_leaves_the_settings_alone() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    with reproducible(True):
        assert torch.are_deterministic_algorithms_enabled() == (torch.cuda.is_available() or before)
    assert torch.are_deterministic_algorithms_enabled() == before


def test_frozen_modules_stay_as_they_are(data: ImageSet) -> None:
    """A frozen body does not even count its batches; one whose norms alone may learn does."""
    for learns, still in ((("fc",), True), (("fc", "bn"), False)):
        net = small_net()
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(any(word in name for word in learns))
        before = copy.deepcopy(net.state_dict())
        train(net, data, Recipe(steps=3), test_data=data.first(20))
        moved = [key for key, value in net.state_dict().items() if not torch.equal(value, before[key])]
        assert any(key.startswith("fc") for key in moved)
        assert all(key.startswith("fc") for key in moved) is still
        assert net.training and net.layer1.training is not still
        with torch.no_grad():
            net(data.images[:8])
        assert torch.equal(net.bn1.running_mean, before["bn1.running_mean"]) is still


def test_evaluate_leaves_a_frozen_part_in_eval_mode(data: ImageSet) -> None:
    net = small_net().train()
    net.layer1.eval()
    evaluate(net, data.first(10))
    assert net.training and net.layer2.training and not net.layer1.training


def test_labels_beyond_the_head_are_named(data: ImageSet) -> None:
    three = cifar_resnet(8, width=4, in_channels=1, num_classes=3)
    for call in (lambda: train(three, data, Recipe(steps=1)), lambda: evaluate(three, data)):
        with pytest.raises(
            ValueError, match=r"num_classes of at least 10, as the labels go up to 9; it gave \(\d+, 3\)"
        ):
            call()
    evaluate(three, data.only(data.classes[:3]))


def test_data_of_another_kind_are_named(data: ImageSet) -> None:
    for call in (lambda: train(small_net(), list(data)), lambda: evaluate(small_net(), tuple(data))):
        with pytest.raises(TypeError, match=r"data must be an ImageSet, got (list|tuple); ImageSet\(images, labels, "):
            call()
    with pytest.raises(ValueError, match="labels from 0 on"):
        train(small_net(), ImageSet(data.images, data.labels - 1, data.classes))


def test_a_batch_too_small_for_batch_norm_is_explained(data: ImageSet) -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, 10))
    with pytest.raises(ValueError, match="batch_size must be larger, or the images: with 1 of them"):
        train(net, data, Recipe(steps=1, batch_size=1))
    broken = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (3, 5)))
    with pytest.raises(RuntimeError, match="unflatten"):  # errors of the net itself pass through
        train(nn.Sequential(broken, nn.Linear(5, 10)), data, Recipe(steps=1))


def test_training_works_whatever_the_default_device(data: ImageSet) -> None:
    """Here "meta" stands for a GPU that is the default while the net is on the CPU."""
    recipe = Recipe(steps=2, augment=True)
    expected, net = train(small_net(), data, recipe).loss, small_net()
    torch.set_default_device("meta")
    try:
        assert train(net, data, recipe).loss == expected
    finally:
        torch.set_default_device(None)


def test_empty_history_says_so() -> None:
    with pytest.raises(ValueError, match="train first"):
        History().final_error()


def test_epoch_record_survives_json() -> None:
    history = History([1.0], [0.5], [0.1], [EpochRecord(1, 1, 0.9, 0.4)], 1.5)
    assert History.from_dict(history.to_dict()) == history


@pytest.mark.parametrize(("size", "expected"), [(14, 1), (28, 2)])
def test_small_images_get_one_thread_and_the_setting_comes_back(size: int, expected: int):
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        data = load_fashion_mnist("train").first(32)
        data = data.pooled() if size == 14 else data
        net = cifar_resnet(8, width=2, in_channels=1)
        recipe = Recipe(batch_size=16, steps=2)
        train(net, data, recipe, seed=0, progress=lambda *_: seen.append(torch.get_num_threads()))
        assert seen == [expected] * 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
