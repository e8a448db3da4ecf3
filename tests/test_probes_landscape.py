"""The loss surface against evaluate() on weights moved by hand, and filter normalisation against its definition."""

from typing import Any

import numpy as np
import pytest
import torch
from probe_helpers import Stop, nothing_changes, small_batch, small_net
from torch.nn.functional import cross_entropy

from resnet_lib.probes import landscape
from resnet_lib.probes.landscape import LossSurface, filter_normalised, loss_surface
from resnet_lib.training.loop import evaluate

BATCH = small_batch(12)


def loss_profile(*arguments: Any, **options: Any) -> LossSurface:
    return loss_surface(*arguments, **options, dimensions=1)


def test_the_centre_is_the_net_itself():
    model = small_net()
    surface = loss_surface(model, BATCH, points=5)
    assert (surface.error[2, 2], surface.loss[2, 2]) == evaluate(model, BATCH)
    assert surface.axis.tolist() == [-1, -0.5, 0, 0.5, 1]


def test_every_point_is_the_net_with_its_weights_moved():
    model, moved = small_net(shortcut="B"), small_net(shortcut="B").eval()
    surface = loss_surface(model, BATCH, extent=0.5, points=3, seed=4)
    first, second = filter_normalised(model, 8), filter_normalised(model, 9)
    for i, a in enumerate((-0.5, 0, 0.5)):
        for j, b in enumerate((-0.5, 0, 0.5)):
            for name, weight in moved.named_parameters():
                weight.data = model.get_parameter(name).data + a * first[name] + b * second[name]
            logits = moved(BATCH.images)
            assert surface.loss[i, j] == pytest.approx(cross_entropy(logits, BATCH.labels).item())
            assert surface.error[i, j] == (logits.argmax(1) != BATCH.labels).double().mean()
    assert len(np.unique(surface.loss)) == 9


def test_a_profile_is_the_middle_of_the_surface():
    model = small_net(preact=True)
    surface, profile = loss_surface(model, BATCH, points=5), loss_profile(model, BATCH, points=5)
    assert profile.loss.tolist() == surface.loss[:, 2].tolist()
    assert profile.error.tolist() == surface.error[:, 2].tolist()


def test_each_filter_moves_by_as_much_as_it_is_long():
    model = small_net(shortcut="B")
    direction = filter_normalised(model, 0)
    assert list(direction) == [name for name, _ in model.named_parameters()]
    for name, weight in model.named_parameters():
        if weight.ndim < 2:  # biases, batch norm
            assert (direction[name] == 0).all()
        for own, moved in zip(weight, direction[name], strict=True):
            if weight.ndim >= 2:
                assert moved.norm().item() == pytest.approx(own.norm().item(), rel=1e-9)


def test_direction_scales_with_the_net_and_not_otherwise():
    model, larger = small_net(), small_net()
    larger.get_parameter("layer1.0.conv1.weight").data *= 7
    small, large = filter_normalised(model, 0), filter_normalised(larger, 0)
    torch.testing.assert_close(large.pop("layer1.0.conv1.weight"), 7 * small.pop("layer1.0.conv1.weight"))
    torch.testing.assert_close(large, small, rtol=0, atol=0)


def test_a_filter_of_zeros_stays():
    model = small_net()
    model.get_parameter("conv1.weight").data[0] = 0
    assert (filter_normalised(model, 0)["conv1.weight"][0] == 0).all()
    assert np.isfinite(loss_profile(model, BATCH, points=3).loss).all()


def test_the_seed_alone_decides_the_directions():
    model = small_net()
    first = loss_profile(model, BATCH, points=3, seed=1)
    torch.manual_seed(5)
    assert loss_profile(model, BATCH, points=3, seed=1).loss.tolist() == first.loss.tolist()
    assert loss_profile(model, BATCH, points=3, seed=2).loss.tolist() != first.loss.tolist()
    a, b = (filter_normalised(model, seed)["fc.weight"].flatten() for seed in (0, 1))
    assert abs(a @ b / a.norm() / b.norm()) < 0.5


def test_weights_come_back_after_an_exception_in_the_middle(monkeypatch: pytest.MonkeyPatch):
    model, calls = small_net(), []

    def failing(*_: object) -> None:
        calls.append(next(model.parameters()).clone())
        if len(calls) == 4:
            raise Stop
        return evaluate(*_)

    monkeypatch.setattr(landscape, "evaluate", failing)
    with nothing_changes(model), pytest.raises(Stop):
        loss_surface(model, BATCH, points=3)
    assert not torch.equal(calls[-1], next(model.parameters()))  # the weights had been moved


def test_a_graph_that_waits_for_its_backward_pass_is_not_broken():
    """The weights are laid aside, not written to: autograd would refuse otherwise."""
    model = small_net()
    loss = cross_entropy(model(BATCH.images), BATCH.labels)
    loss_profile(model, BATCH, points=3)
    loss.backward()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"points": 4}, ValueError, "points must be odd, .* got 4"),
        ({"points": 1}, ValueError, "points must be an int of at least 3, got 1"),
        ({"points": 3.0}, TypeError, "points must be an int"),
        ({"extent": 0}, ValueError, "extent must be a number above 0, got 0"),
        ({"dimensions": 3}, ValueError, "dimensions must be one of 1, 2, got 3"),
        ({"extent": "wide"}, TypeError, "extent must be a number above 0"),
    ],
)
def test_what_makes_no_surface_is_refused(arguments: dict, error: type, message: str):
    with pytest.raises(error, match=message):
        loss_surface(small_net(), BATCH, **arguments)
