"""The foreign nets of lesson 10 stand for published ones: their weights go the library's own way into its nets."""

from types import SimpleNamespace

import pytest
import torch

from resnet_lib import PRESETS, build, cifar_resnet, load_keras_weights, scrambled
from resnet_lib.experiments.measured import load_grid
from resnet_lib.teaching import answers, ports
from resnet_lib.urls import WEIGHTS


@torch.no_grad()
def test_keras_weights_fit_the_library() -> None:
    """`load_keras_weights` is compared with Keras itself elsewhere, so the names and shapes are Keras's."""
    original = build(PRESETS["resnet50v2"], layers=(2, 2, 2, 2), num_classes=10)  # as wide as Keras's
    scrambled(original)
    layers = [
        SimpleNamespace(name=name, get_weights=lambda arrays=arrays: [array.detach().numpy() for array in arrays])
        for name, arrays in ports.keras_weights(original).items()
    ]
    port = load_keras_weights(build(original.config), SimpleNamespace(layers=layers)).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(port(images), original(images))
    assert (original(images) - original(-images)).abs().max() > 0.1  # these nets can tell images apart


def test_every_bias_of_the_keras_net_matters() -> None:
    biases = {name: value for name, value in ports.keras_original().state_dict().items() if name.endswith("conv3.bias")}
    assert biases and all(bias.abs().max() > 0.01 for bias in biases.values())


@torch.no_grad()
def test_the_checkpoint_loads_and_is_wrong_until_the_zeros_are_on_both_sides() -> None:
    original = ports.cifar10_original()
    checkpoint = ports.cifar10_checkpoint(original)
    assert set(checkpoint) == {"state_dict", "best_prec1"}
    port = cifar_resnet(20).eval()
    assert not port.load_state_dict(answers.our_keys(checkpoint), strict=False).unexpected_keys
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    outputs = [answers.outputs_of(net, images) for net in (original, port)]
    assert answers.first_difference(*outputs) == "layer2.0.downsample"
    x = torch.randn(2, 16, 6, 6)
    assert torch.equal(original.layer2[0].downsample(x), answers.pad_both_sides(x, 32))  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["resnet20", "resnet32", "resnet44", "resnet56"])
def test_the_answers_of_the_published_nets_are_of_these_files(name: str) -> None:
    found = load_grid("published-cifar10")[name]
    assert found["file"] == f"{name}-{found['sha256'][:8]}.th"
    assert WEIGHTS[f"cifar_{name}.AKAMASTER"].endswith(found["file"])
    assert found["says"]["on both sides"][0] == "cat"
