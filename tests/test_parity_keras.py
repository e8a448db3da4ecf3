"""The six ResNets of Keras Applications against ours with their weights: the same logits in eval mode.

Training is compared elsewhere: Keras keeps the biased variance in its running statistics, torch the unbiased one.
"""

import os
from functools import cache
from types import SimpleNamespace

os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is first imported, which is not yet

import numpy as np
import pytest
import torch
from parity import distance, images, nudge
from torch import Tensor, nn

from resnet_lib import PRESETS, ResNet, build
from resnet_lib.models.weights import keras_name_map, load_keras_weights

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras reading torch

# Keras computes in float32 (on torch even when told float64). Ours runs in float64, so all the rounding is Keras's.
ROUNDING = 5e-6
SEEN = 3e-5
V1 = {"stride_on": "1x1", "norm_eps": 1.001e-5}
NETS = {
    "ResNet50": ("resnet50", V1),
    "ResNet101": ("resnet101", V1),
    "ResNet152": ("resnet152", V1),
    "ResNet50V2": ("resnet50v2", {}),
    "ResNet101V2": ("resnet101v2", {}),
    "ResNet152V2": ("resnet152v2", {}),
}
X = images(2, 3, 40, 40)


def our_net(name: str, **options: object) -> ResNet:
    preset, needed = NETS[name]
    with torch.device("meta"):  # the weights are Keras's, so none need be drawn
        net = build(PRESETS[preset], num_classes=7, **{**needed, **options})
    for key, buffer in net.to_empty(device="cpu").named_buffers():
        if key.endswith("num_batches_tracked"):
            buffer.zero_()
    return net.eval()


def keras_net(name: str):
    """Random weights that hide nothing: variances from 1e-5 on, where eps counts, and gamma to keep the scale."""
    import keras

    assert keras.backend.backend() == "torch"
    model = getattr(keras.applications, name)(
        weights=None, classes=7, classifier_activation=None, input_shape=(40, 40, 3)
    )
    random = np.random.default_rng(0)
    for layer in model.layers:
        shapes = [array.shape for array in layer.get_weights()]
        if len(shapes) == 4:
            variance = 10 ** random.uniform(-5, 0, shapes[3])
            gamma = variance**0.5 * random.uniform(0.3, 0.9, shapes[0])
            beta, mean = random.uniform(-0.3, 0.3, (2, *shapes[1]))
            layer.set_weights([gamma, beta, mean, variance])
        elif shapes:
            spread = (6 / np.prod(shapes[0][:-1])) ** 0.5
            bias = [random.uniform(-0.3, 0.3, shape) for shape in shapes[1:]]
            layer.set_weights([random.uniform(-spread, spread, shapes[0]), *bias])
    return model


def keras_logits(model) -> Tensor:
    with torch.no_grad():
        return model(X.permute(0, 2, 3, 1).float().numpy(), training=False).cpu()


@cache
def pair(name: str) -> tuple[dict[str, Tensor], Tensor]:
    """Our net's state with Keras's weights, and Keras's logits: what the controls need of the two."""
    model = keras_net(name)
    return load_keras_weights(our_net(name), model).state_dict(), keras_logits(model)


def far(net: ResNet, wanted: Tensor) -> float:
    with torch.no_grad():
        return distance(net.double()(X), wanted)


@pytest.mark.parametrize("name", NETS)
def test_keras_computes_the_same(name: str):
    model = keras_net(name)
    net = our_net(name)
    assert load_keras_weights(net, model) is net
    assert not net.training
    wanted = keras_logits(model)
    assert far(net, wanted) < ROUNDING
    nudge(net, "conv1.weight")
    assert far(net, wanted) > SEEN  # the control, for each net

    # The table of names, on all keys: each layer with weights is in it once, and each of our keys is reached.
    names = keras_name_map(net.config)
    assert set(names) == {layer.name for layer in model.layers if layer.get_weights()}
    assert len(set(names.values())) == len(names)
    assert {key.rpartition(".")[0] for key in net.state_dict()} == set(names.values())


def slipped(name: str, slip: str) -> ResNet:
    options = {
        "stride": {"stride_at": "first"} if name.endswith("V2") else {"stride_on": "3x3"},
        "eps": {"norm_eps": 1e-5},
        "shortcut": {"shortcut": "B"},
    }
    net = our_net(name, **options.get(slip, {}))
    net.load_state_dict(pair(name)[0])
    if slip == "pool":
        net.maxpool = nn.MaxPool2d(3, stride=2, padding=1)  # -inf around the image, where Keras has zeros
    elif slip == "weight":
        nudge(net, "conv1.weight")
    elif slip == "bias":
        net.bn1.running_mean += 0.1  # a bias that was not folded
    elif slip == "norms swapped":
        for part in ("weight", "bias", "running_mean", "running_var"):
            mine, other = (net.get_submodule(f"layer2.1.{norm}") for norm in ("bn2", "bn3"))
            mine, other = getattr(mine, part).data, getattr(other, part).data
            kept = mine.clone()
            mine.copy_(other)
            other.copy_(kept)
    return net


@pytest.mark.parametrize(
    ("name", "slip"),
    [("ResNet50", slip) for slip in ("stride", "eps", "weight", "bias")]
    + [("ResNet50V2", slip) for slip in ("stride", "eps", "weight", "pool", "norms swapped")],
)
def test_a_slip_is_seen(name: str, slip: str):
    wanted = pair(name)[1]
    assert far(slipped(name, "none"), wanted) < ROUNDING
    assert far(slipped(name, slip), wanted) > SEEN


def test_after_a_relu_the_padding_of_the_pool_does_not_matter():
    """The claim of a comment in the stem: V1 pools what a ReLU put out, so -inf and zeros around it are the same."""
    net = our_net("ResNet50")
    state, wanted = pair("ResNet50")
    net.load_state_dict(state)
    net.maxpool = nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, stride=2))
    assert far(net, wanted) < ROUNDING


def test_the_order_of_the_layers_does_not_matter():
    """In Keras's list a projection stands in the middle of its block, so a map by position would be wrong."""
    model = keras_net("ResNet50V2")
    shuffled = SimpleNamespace(layers=sorted(model.layers, key=lambda layer: layer.name[::-1]))
    net = load_keras_weights(our_net("ResNet50V2"), shuffled)
    assert far(net, pair("ResNet50V2")[1]) < ROUNDING


def test_a_keras_net_without_its_top_is_refused():
    import keras

    model = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(40, 40, 3))
    with pytest.raises(ValueError, match="include_top=True"):
        load_keras_weights(our_net("ResNet50"), model)
