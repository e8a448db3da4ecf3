"""V1 and V1.5 against the ResNets of transformers and torchvision: logits, loss, every gradient, running statistics."""

import os
import re

import pytest
import torch
from parity import distance, furthest, images, nudge, randomise
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet_lib import PRESETS, ResNet, build

ROUNDING = 1e-10  # float64; a slip moves something by more than 1e-8
SEEN = 1e-8
CASES = [
    ("resnet18", "3x3"),
    ("resnet34", "3x3"),
    ("resnet50", "3x3"),
    ("resnet50", "1x1"),
    ("resnet101", "1x1"),
    ("resnet152", "3x3"),
]
NAMES = [  # ours -> theirs
    (r"^conv1\.", "resnet.embedder.embedder.convolution."),
    (r"^bn1\.", "resnet.embedder.embedder.normalization."),
    (r"^fc\.", "classifier.1."),
    (r"^layer(\d)\.(\d+)\.downsample\.0\.", r"resnet.encoder.stages.{\1}.layers.\2.shortcut.convolution."),
    (r"^layer(\d)\.(\d+)\.downsample\.1\.", r"resnet.encoder.stages.{\1}.layers.\2.shortcut.normalization."),
    (r"^layer(\d)\.(\d+)\.conv(\d)\.", r"resnet.encoder.stages.{\1}.layers.\2.layer.{\3}.convolution."),
    (r"^layer(\d)\.(\d+)\.bn(\d)\.", r"resnet.encoder.stages.{\1}.layers.\2.layer.{\3}.normalization."),
]


def their_name(ours: str) -> str:
    """They count stages and layers from 0, we from 1."""
    for pattern, replacement in NAMES:
        if re.match(pattern, ours):
            return re.sub(r"{(\d+)}", lambda found: str(int(found[1]) - 1), re.sub(pattern, replacement, ours))
    raise KeyError(ours)


def transformers_net(name: str, stride_on: str) -> nn.Module:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import ResNetConfig, ResNetForImageClassification

    bottleneck = PRESETS[name].block.expansion == 4
    config = ResNetConfig(
        embedding_size=64,
        hidden_sizes=[64 * 2**stage * (4 if bottleneck else 1) for stage in range(4)],
        depths=list(PRESETS[name].layers),
        layer_type="bottleneck" if bottleneck else "basic",
        downsample_in_bottleneck=stride_on == "1x1",
        num_labels=7,
    )
    return randomise(ResNetForImageClassification(config).double()).eval()


def ours_with_their_weights(theirs: nn.Module, name: str, stride_on: str, **options: object) -> ResNet:
    net = build(PRESETS[name], num_classes=7, stride_on=stride_on, **options).double().eval()
    weights = theirs.state_dict()
    names = {key: their_name(key) for key in net.state_dict()}
    assert set(names.values()) == set(weights)
    net.load_state_dict({ours: weights[key] for ours, key in names.items()})
    return net


def step(net: nn.Module, x: Tensor) -> dict[str, dict[str, Tensor]]:
    """One training step as tables of tensors."""
    net.train().zero_grad()
    logits = net(x)
    loss = cross_entropy(getattr(logits, "logits", logits), torch.arange(len(x)) + 1)
    loss.backward()
    return {
        "loss": {"loss": loss.detach()},
        "gradients": {name: tensor.grad for name, tensor in net.named_parameters()},
        "statistics": dict(net.named_buffers()),
    }


def steps_apart(net: ResNet, theirs: nn.Module, x: Tensor) -> dict[str, float]:
    found, wanted = step(net, x), step(theirs, x)
    renamed = {
        kind: {their_name(key) if kind != "loss" else key: tensor for key, tensor in table.items()}
        for kind, table in found.items()
    }
    return {kind: furthest(renamed[kind], wanted[kind]) for kind in wanted}


@pytest.mark.parametrize(("name", "stride_on"), CASES)
def test_transformers_computes_the_same(name: str, stride_on: str):
    theirs, x = transformers_net(name, stride_on), images(2, 3, 40, 40)
    net = ours_with_their_weights(theirs, name, stride_on)
    with torch.no_grad():
        wanted = theirs(x).logits
        assert distance(net(x), wanted) < ROUNDING
    apart = steps_apart(net, theirs, x)
    assert max(apart.values()) < ROUNDING, apart


@pytest.mark.parametrize("slip", ["stride", "eps", "weight"])
def test_a_slip_is_seen(slip: str):
    """The control of the test above, in eval mode and in training."""
    theirs, x = transformers_net("resnet50", "3x3"), images(2, 3, 40, 40)
    options = {"norm_eps": 1.001e-5} if slip == "eps" else {}
    net = ours_with_their_weights(theirs, "resnet50", "1x1" if slip == "stride" else "3x3", **options)
    if slip == "weight":
        nudge(net, "conv1.weight")
    with torch.no_grad():
        assert distance(net(x), theirs(x).logits) > SEEN
    apart = steps_apart(net, theirs, x)
    assert min(apart.values()) > SEEN, apart


def test_torchvision_computes_the_same():
    reason = "torchvision is no dependency (it must match torch to the patch version); transformers stands in for it"
    models = pytest.importorskip("torchvision.models", reason=reason)
    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
        theirs, x = randomise(getattr(models, name)(num_classes=7).double()).eval(), images(2, 3, 40, 40)
        net = build(PRESETS[name], num_classes=7).double().eval()
        net.load_state_dict(theirs.state_dict())
        with torch.no_grad():
            wanted = theirs(x)
            assert distance(net(x), wanted) < ROUNDING, name
            nudge(net, "conv1.weight")
            assert distance(net(x), wanted) > SEEN, name
        net.load_state_dict(theirs.state_dict())
        found, wanted = step(net, x), step(theirs, x)
        assert max(furthest(found[kind], wanted[kind]) for kind in wanted) < ROUNDING, name
