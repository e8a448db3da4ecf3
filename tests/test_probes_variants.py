"""Variants against the builders, torch's own default, and the facts of lesson 02 that need them."""

import pytest
import torch
from probe_helpers import nothing_changes
from torch import nn

from resnet_lib.data.images import load_fashion_mnist
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import PRESETS, build
from resnet_lib.probes.gradients import gradient_norms
from resnet_lib.probes.variants import scrambled, variant
from resnet_lib.training.loop import seeded


@pytest.mark.parametrize("options", [{}, {"shortcut": "B"}, {"preact": True}, {"zero_init_residual": True}], ids=str)
def test_he_initialisation_is_what_the_builder_gives_under_that_seed(options: dict):
    model = cifar_resnet(20, width=4, **options)
    with seeded(7):
        expected = cifar_resnet(20, width=4, **options).state_dict()
    torch.testing.assert_close(dict(variant(model, seed=7).state_dict()), dict(expected), rtol=0, atol=0)


def test_torch_initialisation_is_what_its_layers_start_with():
    model = variant(cifar_resnet(20, width=16), init="torch", seed=3)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    with seeded(3):
        first = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    assert torch.equal(convs[0].weight, first.weight)
    for conv in convs[1:]:
        bound = (conv.in_channels * 9) ** -0.5
        assert bound * 0.98 < conv.weight.abs().max() <= bound  # uniform up to 1 / sqrt(fan-in)


@pytest.mark.parametrize("init", ["he", "torch"])
def test_without_batch_norm_the_convolutions_are_the_same_and_nothing_is_added(init: str):
    model = cifar_resnet(20, width=4, shortcut="B")
    with_norms, without = (variant(model, batch_norm=norms, init=init, seed=1) for norms in (True, False))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in without.modules())
    state = dict(without.state_dict())
    convs = {name: value for name, value in with_norms.state_dict().items() if value.ndim > 1 or name == "fc.bias"}
    torch.testing.assert_close(state, convs, rtol=0, atol=0)
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(without.train()(images), without.eval()(images))


def test_the_original_stays_as_it_is_and_shares_nothing():
    model = cifar_resnet(8, width=4)
    with nothing_changes(model):
        copy = variant(model, batch_norm=False, init="torch")
        for parameter in copy.parameters():
            parameter.data.zero_()


def test_seeds_differ_and_repeat():
    model = cifar_resnet(8, width=4)
    first, again, other = (variant(model, seed=seed).conv1.weight for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_biases_of_the_keras_layout_start_at_zero_only_with_he():
    net = build(PRESETS["resnet50v2"], layers=(1, 1), width=4)
    assert (variant(net).conv1.bias == 0).all() and (variant(net, init="torch").conv1.bias != 0).any()


def test_what_makes_no_variant_is_refused():
    with pytest.raises(ValueError, match="init must be one of 'he', 'torch', got 'xavier'"):
        variant(cifar_resnet(8), init="xavier")
    with pytest.raises(TypeError, match="model must be a ResNet of this library, got Linear"):
        variant(nn.Linear(1, 1))


def test_the_controls_of_lesson_02():
    """Without batch norm and with torch's default a plain net's gradient vanishes; either cure alone keeps it alive."""
    data = load_fashion_mnist("train").pooled().first(64)
    plain, residual = (cifar_resnet(20, shortcut=s, width=16, in_channels=1) for s in (None, "A"))
    first = {
        "nothing": gradient_norms(variant(plain, batch_norm=False, init="torch"), *data)["conv1"],
        "he": gradient_norms(variant(plain, batch_norm=False), *data)["conv1"],
        "batch norm": gradient_norms(variant(plain, init="torch"), *data)["conv1"],
        "shortcut": gradient_norms(variant(residual, batch_norm=False, init="torch"), *data)["conv1"],
    }
    assert first.pop("nothing") < 1e-6 < 1e-4 < min(first.values())


def test_without_batch_norm_a_deep_residual_net_explodes_forward():
    data = load_fashion_mnist("train").pooled().first(64)
    model = cifar_resnet(56, width=16, in_channels=1)
    norms = {norm: gradient_norms(variant(model, batch_norm=norm), *data)["conv1"] for norm in (True, False)}
    assert norms[False] > 100 * norms[True]


def test_scrambled_norms_show_where_they_stand() -> None:
    """The same convolutions with norm and ReLU in the wrong order give the right logits, until norms are scrambled."""

    def net(seed: int, *order: type[nn.Module]) -> nn.Module:
        torch.manual_seed(0)
        layers = [part(4) if part is nn.BatchNorm2d else part() for part in order]
        model = nn.Sequential(nn.Conv2d(3, 4, 3), *layers)
        return scrambled(model, seed) if seed else model.eval()

    x = torch.randn(2, 3, 8, 8)
    wrong, right = (nn.ReLU, nn.BatchNorm2d), (nn.BatchNorm2d, nn.ReLU)
    assert torch.allclose(net(0, *wrong)(x), net(0, *right)(x), atol=1e-4)
    assert not torch.allclose(net(1, *wrong)(x), net(1, *right)(x), atol=1e-2)
    assert torch.equal(net(1, *right)(x), net(1, *right)(x)) and not net(1, *right).training
    assert not torch.equal(net(1, *right)(x), net(2, *right)(x))
