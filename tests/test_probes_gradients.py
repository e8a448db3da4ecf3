"""Gradient probes against autograd by hand, finite differences and numpy; and all of them leave no trace."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from probe_helpers import Stop, awkward, by_hand, foreign_net, nothing_changes, small_batch, small_net, stop_in
from torch import nn
from torch.nn.functional import cross_entropy

from resnet_lib.data.images import load_fashion_mnist
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.orders import ORDERS
from resnet_lib.probes.gradients import (
    effective_learning_rates,
    gradient_agreement,
    gradient_correlation,
    gradient_norms,
)
from resnet_lib.probes.hooks import hooked, watching
from resnet_lib.probes.landscape import loss_surface
from resnet_lib.probes.lesions import all_subsets, gradient_by_path_length
from resnet_lib.probes.saliency import feature_maps, grad_cam
from resnet_lib.probes.signal import activation_stats, branch_norms, effective_receptive_field, layer_responses
from resnet_lib.training.loop import Recipe, seeded, train

BATCH = small_batch()
LAST = "layer3.0"

ANY_NET: dict[str, Callable] = {
    "gradient_norms": lambda net, batch: gradient_norms(net, *batch),
    "gradient_norms, eval": lambda net, batch: gradient_norms(net, *batch, training=False),
    "gradient_agreement": lambda net, batch: gradient_agreement(net, batch, batch),
    "gradient_correlation": lambda net, batch: gradient_correlation(net, batch.images, points=9, lags=2),
    "activation_stats": lambda net, batch: activation_stats(net, batch.images),
    "layer_responses": lambda net, batch: layer_responses(net, batch.images, training=True),
    "effective_receptive_field": lambda net, batch: effective_receptive_field(net, 8, samples=1),
    "grad_cam": lambda net, batch: grad_cam(net, batch.images),
    "feature_maps": lambda net, batch: feature_maps(net, batch.images, "layer1.0"),
    "loss_surface": lambda net, batch: loss_surface(net, batch, points=3),
    "loss_surface, 1-D": lambda net, batch: loss_surface(net, batch, points=3, dimensions=1),
}
OWN_NET: dict[str, Callable] = {
    "branch_norms": lambda net, batch: branch_norms(net, batch.images, training=True),
    "all_subsets": lambda net, batch: all_subsets(net, batch),
    "gradient_by_path_length": lambda net, batch: gradient_by_path_length(net, *batch),
}


@pytest.mark.parametrize("name", ANY_NET | OWN_NET)
def test_probe_leaves_no_trace(name: str):
    model = awkward(small_net())
    with nothing_changes(model, *BATCH):
        (ANY_NET | OWN_NET)[name](model, BATCH)


@pytest.mark.parametrize("name", ANY_NET | OWN_NET)
def test_probe_leaves_no_trace_of_a_failure(name: str):
    model = awkward(small_net())
    undo = stop_in(model.get_submodule(f"{LAST}.conv2"))
    with nothing_changes(model, *BATCH), pytest.raises(Stop):
        (ANY_NET | OWN_NET)[name](model, BATCH)
    undo()


@pytest.mark.parametrize("name", ANY_NET)
def test_probe_leaves_no_trace_in_a_net_that_works_in_place(name: str):
    """Its first ReLU would change the caller's images, its dropout the caller's random numbers."""
    model = awkward(foreign_net())
    with nothing_changes(model, *BATCH):
        ANY_NET[name](model, BATCH)


@pytest.mark.parametrize("name", sorted(set(ANY_NET) - {"loss_surface", "loss_surface, 1-D"}))
def test_in_place_relu_does_not_change_what_a_probe_sees(name: str):
    with seeded(1):
        seen = ANY_NET[name](foreign_net(inplace=True), BATCH)
    with seeded(1):
        expected = ANY_NET[name](foreign_net(inplace=False), BATCH)
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize("name", ANY_NET | OWN_NET)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_probe_works_where_the_caller_wants_no_gradients(name: str, mode: Callable):
    probe = (ANY_NET | OWN_NET)[name]
    model = small_net()
    expected = probe(model, BATCH)
    with mode():
        result = probe(model, small_batch())
    assert repr(result) == repr(expected)


@pytest.mark.parametrize("name", ["gradient_norms", "activation_stats", "layer_responses", "gradient_correlation"])
def test_nan_is_not_hidden(name: str):
    images = BATCH.images.clone()
    images[0, 0, 0, 0] = torch.nan
    values = ANY_NET[name](small_net(), type(BATCH)(images, BATCH.labels, BATCH.classes))
    values = list(values.values()) if isinstance(values, dict) else values
    assert np.isnan(np.array(values)).any()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shortcut", ["A", "B", None])
def test_gradient_norms_are_those_of_a_net_written_by_hand(training: bool, shortcut: str | None):
    model = small_net(14, shortcut=shortcut)
    loss = cross_entropy(by_hand(model, BATCH.images, training=training), BATCH.labels)
    convs = {n: p for n, p in model.named_parameters() if p.ndim == 4}
    expected = {
        name.removesuffix(".weight"): gradient.norm().item()
        for name, gradient in zip(convs, torch.autograd.grad(loss, list(convs.values())), strict=True)
    }
    result = gradient_norms(model, *BATCH, training=training)
    assert result == pytest.approx(expected, rel=1e-9)
    assert next(iter(result)) == "conv1"


def test_gradient_norm_is_the_slope_along_the_gradient():
    """Finite differences: a step of length h along the gradient changes the loss by h times its norm."""
    model = small_net(preact=True)
    weight = model.get_parameter("layer2.0.conv1.weight")
    norm = gradient_norms(model, *BATCH)["layer2.0.conv1"]
    model.train()
    (direction,) = torch.autograd.grad(cross_entropy(model(BATCH.images), BATCH.labels), weight)
    losses = []
    with torch.no_grad():
        for step in (1e-5, -1e-5):
            weight += step * direction / direction.norm()
            losses.append(cross_entropy(model(BATCH.images), BATCH.labels))
            weight -= step * direction / direction.norm()
    assert norm == pytest.approx(((losses[0] - losses[1]) / 2e-5).item(), rel=1e-5)


def test_gradient_norms_come_in_the_order_of_the_forward_pass():
    blocks = [f"layer1.{b}.{conv}" for b in (0, 1) for conv in ("first", "second")]
    assert list(gradient_norms(foreign_net(), *BATCH)) == ["stem", *blocks]


def test_tiny_gradients_are_not_rounded_to_zero():
    model = small_net().float()
    images = BATCH.images.float()
    model.get_parameter("fc.weight").data *= 1e-30  # in float32 the square of every gradient is 0
    assert 0 < gradient_norms(model, images, BATCH.labels)["conv1"] < 1e-25


def test_agreement_is_the_cosine_of_what_backward_gives():
    model, other = small_net(), small_batch(seed=1)
    vectors = []
    for images, labels in (BATCH, other):
        model.zero_grad()
        cross_entropy(by_hand(model, images, training=True), labels).backward()
        vectors.append({name: np.concatenate([p.grad.numpy().ravel() for p in block.parameters()])
                        for name, block in model.blocks().items()})  # fmt: skip
    model.zero_grad()
    expected = {n: a @ b / np.linalg.norm(a) / np.linalg.norm(b) for n, a, b in
                ((n, vectors[0][n], vectors[1][n]) for n in vectors[0])}  # fmt: skip
    assert gradient_agreement(model, BATCH, other) == pytest.approx(expected, rel=1e-6)
    assert gradient_agreement(model, other, BATCH) == pytest.approx(expected, rel=1e-6)


def test_agreement_of_a_batch_with_itself_is_one_and_of_nothing_undefined():
    model = small_net()
    assert list(gradient_agreement(model, BATCH, BATCH).values()) == pytest.approx([1.0] * 3)
    model.get_parameter("fc.weight").data.zero_()
    assert np.isnan(list(gradient_agreement(model, BATCH, BATCH).values())).all()


def test_agreement_of_several_batches_is_the_mean_over_pairs():
    model, batches = small_net(), [small_batch(seed=seed) for seed in range(3)]
    pairs = [gradient_agreement(model, batches[i], batches[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    expected = {block: np.mean([pair[block] for pair in pairs]) for block in pairs[0]}
    assert gradient_agreement(model, *batches) == pytest.approx(expected)
    assert list(gradient_agreement(model, *[BATCH] * 3).values()) == pytest.approx([1.0] * 3)


def test_batches_of_noise_agree_on_nothing():
    """A linear net: its gradient is the mean of (p - y) xᵀ, and x is noise. Of the same labels and images it is 1."""
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    model = nn.Sequential(OrderedDict(layer1=nn.Sequential(linear))).double()
    noise = [small_batch(32, seed=seed) for seed in range(8)]
    assert abs(gradient_agreement(model, *noise)["layer1.0"]) < 0.05
    assert gradient_agreement(model, *noise[:1] * 8)["layer1.0"] == pytest.approx(1)


ORDERED = {name: {"block": block} for name, block in ORDERS.items()}


@pytest.mark.parametrize("options", [*ORDERED.values(), {"shortcut": "B"}], ids=[*ORDERED, "projections"])
def test_effective_rate_is_that_of_a_weight_whose_length_means_nothing(options: dict):
    """Three times as long: a ninth of the rate, a third of the gradient, the same loss; and of no other weight so."""
    model = small_net(settle=False, norm_eps=1e-20, **options).train()

    def loss_and_gradients() -> tuple[float, dict[str, float]]:
        with torch.no_grad():
            loss = cross_entropy(copy.deepcopy(model)(BATCH.images), BATCH.labels).item()
        return loss, gradient_norms(model, *BATCH)

    rates, (loss, gradients) = effective_learning_rates(model, 0.1), loss_and_gradients()
    convs = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    assert list(rates) == [name for name in convs if name in rates] and len(rates) >= len(convs) // 2
    for name, conv in convs.items():
        conv.weight.data *= 3
        scaled, (new_loss, new_gradients) = effective_learning_rates(model, 0.1), loss_and_gradients()
        if name in rates:
            assert scaled == pytest.approx(rates | {name: rates[name] / 9})
            assert new_loss == pytest.approx(loss, rel=1e-9)
            assert new_gradients[name] == pytest.approx(gradients[name] / 3, rel=1e-6)
        else:
            assert scaled == rates and abs(new_loss - loss) > 1e-6
        conv.weight.data /= 3


def test_effective_rates_follow_a_training():
    net, rates, data = small_net().float(), [], small_batch(32)
    data = replace(data, images=data.images.float())
    recipe = Recipe(steps=3, batch_size=16)
    history = train(net, data, recipe, progress=lambda h, _: rates.append(effective_learning_rates(net, h.lr[-1])))
    square = net.conv1.weight.detach().double().square().sum().item()
    assert len(rates) == 3 and rates[-1]["conv1"] == pytest.approx(history.lr[-1] / square)


class Energy(nn.Module):
    """A net whose input gradient is known: that of the sum of f."""

    def __init__(self, f: Callable):
        super().__init__()
        self.f, self.scale = f, nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        return self.scale * self.f(x).flatten(1)


def test_correlation_of_a_known_gradient_is_that_of_numpy():
    points, ends = 20, BATCH.images[:2]
    line = np.linspace(ends[0].numpy(), ends[1].numpy(), points).reshape(points, -1)
    gradient = np.cos(3 * line)
    gradient = gradient - gradient.mean(0)
    expected = [(gradient[lag:] * gradient[:-lag]).sum() / (gradient**2).sum() for lag in (1, 2, 3)]
    result = gradient_correlation(Energy(lambda x: (3 * x).sin() / 3), ends, points=points, lags=3)
    assert result == pytest.approx(expected, rel=1e-9)


def test_correlation_is_high_for_a_smooth_function_and_low_for_a_rough_one():
    smooth = gradient_correlation(Energy(lambda x: x**2), BATCH.images[:2], points=64)
    rough = gradient_correlation(Energy(lambda x: (1e5 * x).sin()), BATCH.images[:2], points=64)
    assert smooth[0] > 0.9 > smooth[-1] and abs(rough[0]) < 0.3


def test_correlation_is_the_mean_over_lines_whichever_way_they_run():
    model = small_net()
    pairs = [gradient_correlation(model, BATCH.images[i : i + 2])[0] for i in (0, 2, 4)]
    assert gradient_correlation(model, BATCH.images)[0] == pytest.approx(np.mean(pairs))
    assert gradient_correlation(model, BATCH.images.flip(0))[0] == pytest.approx(np.mean(pairs))


def test_watching_sees_what_was_before_an_in_place_relu_and_keeps_its_gradient():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.LazyLinear(1)).double()
    with watching({"conv": model[0]}) as outputs:
        result = model(BATCH.images)
    assert (outputs["conv"] < 0).any() and torch.equal(outputs["conv"], model[0](BATCH.images))
    assert (torch.autograd.grad(result.sum(), outputs["conv"])[0] != 0).any()


def test_hooks_are_gone_after_an_exception():
    model = small_net()
    with pytest.raises(Stop), hooked(dict(model.named_modules()), lambda *_: None):
        assert all(module._forward_hooks for module in model.modules())
        raise Stop
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_that_puts_out_no_tensor_is_named():
    model = nn.Sequential(nn.LSTM(8, 8))
    with pytest.raises(TypeError, match="the lstm must return one tensor"), watching({"the lstm": model[0]}):
        model(torch.zeros(2, 3, 8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: gradient_norms(net, BATCH.images[0], BATCH.labels), r"images must .*float64 \(1, 8, 8\)"),
        (lambda net: gradient_norms(net, BATCH.images.byte(), BATCH.labels), "images must .* got torch.uint8"),
        (lambda net: gradient_norms(net, None, BATCH.labels), "images must .* got NoneType"),
        (lambda net: gradient_norms(net, BATCH.images[:0], BATCH.labels[:0]), "N of at least 1"),
        (lambda net: gradient_norms(net, BATCH.images, BATCH.labels[:2]), r"labels must .*\(6,\).*int64 \(2,\)"),
        (lambda net: gradient_norms(net, BATCH.images, BATCH.labels.double()), "labels must be int64"),
        (lambda net: gradient_norms(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double(), *BATCH), "Conv2d"),
        (lambda net: gradient_correlation(net, BATCH.images[:3]), "images come in pairs"),
        (lambda net: gradient_correlation(net, BATCH.images, points=8), "lags=8, points=8"),
        (lambda net: gradient_correlation(net, BATCH.images, points=2), "points must be an int of at least 3, got 2"),
        (lambda net: gradient_agreement(nn.Conv2d(1, 1, 1), BATCH, BATCH), "layer1, layer2, …; Conv2d has none"),
        (lambda net: gradient_agreement(net, BATCH), "batches must be two or more, got 1"),
        (lambda net: effective_learning_rates(net, 0), "lr must be a number above 0, got 0"),
        (lambda net: effective_learning_rates(foreign_net(), 0.1), "model must be a net of this library with batch"),
    ],
)  # fmt: skip
def test_what_cannot_be_probed_is_refused_in_words(call: Callable, message: str):
    with pytest.raises(ValueError, match=message):
        call(small_net())


def test_the_facts_that_lesson_02_rests_on():
    """He initialisation, batch norm: plain-56's gradient explodes towards the input, a residual net's is tame."""
    data = load_fashion_mnist("train").pooled().first(64)
    growth, correlation = {}, {}
    for shortcut in (None, "A"):
        with seeded(0):
            model = cifar_resnet(56, shortcut=shortcut, width=8, in_channels=1)
        norms = list(gradient_norms(model, *data).values())
        growth[shortcut] = norms[0] / norms[-1]
        correlation[shortcut] = gradient_correlation(model, data.images[:4])[0]
    assert growth[None] > 50 > growth["A"]
    assert correlation[None] < 0.15 < 0.25 < correlation["A"]


def test_probes_work_whatever_the_default_device() -> None:
    """Here "meta" stands for a GPU that is the default while the net is on the CPU."""
    with seeded(0):
        net = cifar_resnet(8, width=4, in_channels=1)
    data = load_fashion_mnist("test").first(8).pooled()
    torch.set_default_device("meta")
    try:
        assert len(gradient_correlation(net, data.images[:2], points=8, lags=2)) == 2
        assert effective_receptive_field(net, 8, samples=2).device.type == "cpu"
        assert len(loss_surface(net, data, points=3, dimensions=1).axis) == 3
        assert branch_norms(net, data.images).keys() == activation_stats(net, data.images).keys()
    finally:
        torch.set_default_device(None)
