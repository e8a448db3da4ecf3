"""Every net against a forward pass written here, from its tensors and torch.nn.functional alone.

The forward pass shares no line with the library: the papers' tables and facts about strides, padding and options
stand in it once more. In float64, in eval mode and for a training step, and each rule is broken once as a control.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from parity import distance, furthest, images, nudge, randomise
from torch import Tensor, nn

from resnet_lib import (
    Bottleneck,
    PreActBasicBlock,
    PreActBottleneck,
    ResNet,
    cifar_plain,
    cifar_resnet,
    plain18,
    plain34,
    resnet18,
    resnet34,
    resnet50,
    resnet50v2,
    resnet101,
    resnet101v2,
    resnet152,
    resnet152v2,
)

ROUNDING = 1e-11  # float64; the smallest slip below moves the logits or a gradient by more than 1e-8
SEEN = 1e-8
LAYERS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclass(frozen=True)
class Rules:
    """What a state dict does not say."""

    layers: tuple[int, ...]
    bottleneck: bool
    option: str | None = "B"
    stride_on: str = "3x3"
    stride_at: str = "first"
    preact: bool = False
    cifar: bool = False
    eps: float = 1e-5
    momentum: float = 0.1
    pool_pad: float = -float("inf")
    pad_at: str = "end"
    activated_shortcut: bool = True  # pre-activation: a shortcut that changes the channels starts after the ReLU


class Pass:
    """One forward pass over a table of tensors, which remembers the tensors it used."""

    def __init__(self, tensors: dict[str, Tensor], rules: Rules, training: bool):
        self.tensors, self.rules, self.training = tensors, rules, training
        self.used: set[str] = set()

    def get(self, key: str) -> Tensor:
        self.used.add(key)
        return self.tensors[key]

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = self.get(f"{name}.weight")
        bias = self.get(f"{name}.bias") if f"{name}.bias" in self.tensors else None
        return F.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2)

    def norm(self, name: str, x: Tensor) -> Tensor:
        mean, variance, gamma, beta = (
            self.get(f"{name}.{part}") for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, gamma, beta, self.training, self.rules.momentum, self.rules.eps)

    def shortcut(self, name: str, x: Tensor, activated: Tensor, channels: int, stride: int, first: bool) -> Tensor:
        rules = self.rules
        if rules.preact and (first or (x.shape[1] != channels and rules.activated_shortcut)):
            x = activated
        if rules.option == "C" or (
            rules.option == "B"
            and (x.shape[1] != channels or (stride > 1 and not (rules.preact and rules.stride_at == "last")))
        ):
            x = self.conv(f"{name}.downsample.0", x, stride)
            return x if rules.preact else self.norm(f"{name}.downsample.1", x)
        x = x[:, :, ::stride, ::stride]
        missing = channels - x.shape[1]
        return F.pad(x, (0, 0, 0, 0, *((0, missing) if rules.pad_at == "end" else (missing // 2, missing // 2))))

    def block(self, name: str, x: Tensor, channels: int, stride: int, first: bool) -> Tensor:
        rules = self.rules
        strides = [stride, 1]
        if rules.bottleneck:
            strides = [stride, 1, 1] if rules.stride_on == "1x1" else [1, stride, 1]
            channels *= 4
        activated = F.relu(self.norm(f"{name}.bn1", x)) if rules.preact else x
        residual = activated
        for number, each in enumerate(strides, start=1):
            if rules.preact:
                if number > 1:
                    residual = F.relu(self.norm(f"{name}.bn{number}", residual))
                residual = self.conv(f"{name}.conv{number}", residual, each)
            else:
                residual = self.norm(f"{name}.bn{number}", self.conv(f"{name}.conv{number}", residual, each))
                residual = F.relu(residual) if number < len(strides) else residual
        if rules.option is not None:
            residual = residual + self.shortcut(name, x, activated, channels, stride, first)
        return residual if rules.preact else F.relu(residual)

    def logits(self, x: Tensor) -> Tensor:
        rules = self.rules
        x = self.conv("conv1", x, 1 if rules.cifar else 2)
        if not rules.preact:
            x = F.relu(self.norm("bn1", x))
        if not rules.cifar:
            x = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=rules.pool_pad), 3, 2)
        width = x.shape[1]
        for stage, blocks in enumerate(rules.layers):
            for index in range(blocks):
                if rules.stride_at == "last":
                    stride = 2 if index == blocks - 1 and stage < 3 else 1
                else:
                    stride = 2 if index == 0 and stage > 0 else 1
                x = self.block(f"layer{stage + 1}.{index}", x, width * 2**stage, stride, stage == index == 0)
        if rules.preact:
            x = F.relu(self.norm("norm", x))
        return F.linear(x.mean((2, 3)), self.get("fc.weight"), self.get("fc.bias"))


@dataclass(frozen=True)
class Row:
    build: Callable[..., ResNet]
    rules: Rules
    shape: tuple[int, ...]


def imagenet(build: Callable[..., ResNet], depth: int, options: dict | None = None, **rules: object) -> Row:
    channels = (options or {}).get("in_channels", 3)
    return Row(
        partial(build, num_classes=7, **(options or {})),
        Rules(LAYERS[depth], depth >= 50, **rules),  # type: ignore[arg-type]
        (2, channels, 40, 40),
    )


def cifar(depth: int, options: dict, **rules: object) -> Row:
    options = {"in_channels": 3, **options}
    per_n = 9 if rules.get("bottleneck") else 6
    known = {"layers": ((depth - 2) // per_n,) * 3, "bottleneck": False, "cifar": True, **rules}
    return Row(
        partial(cifar_resnet, depth, **options),
        Rules(**known),  # type: ignore[arg-type]
        (2, options["in_channels"], 16, 16),
    )


KERAS_V2 = {"preact": True, "stride_at": "last", "eps": 1.001e-5, "pool_pad": 0.0}
ROWS: dict[str, Row] = {
    "resnet18": imagenet(resnet18, 18),
    "resnet34": imagenet(resnet34, 34),
    "plain18": imagenet(plain18, 18, option=None),
    "plain34": imagenet(plain34, 34, option=None),
    **{f"resnet18-{o}": imagenet(resnet18, 18, {"shortcut": o}, option=o) for o in "AC"},
    **{f"resnet34-{o}": imagenet(resnet34, 34, {"shortcut": o}, option=o) for o in "AC"},
    **{
        f"resnet{depth}-{stride_on}": imagenet(build, depth, {"stride_on": stride_on}, stride_on=stride_on)
        for depth, build in ((50, resnet50), (101, resnet101), (152, resnet152))
        for stride_on in ("3x3", "1x1")
    },
    "resnet50-eps": imagenet(resnet50, 50, {"norm_eps": 1.001e-5}, eps=1.001e-5),
    "resnet18-grey": imagenet(resnet18, 18, {"in_channels": 1}),
    "resnet50v2": imagenet(resnet50v2, 50, **KERAS_V2),
    "resnet101v2": imagenet(resnet101v2, 101, **KERAS_V2),
    "resnet152v2": imagenet(resnet152v2, 152, **KERAS_V2),
    **{
        f"cifar{depth}-{option or 'plain'}": cifar(depth, {"shortcut": option}, option=option)
        for depth in (20, 32, 44, 56, 110)
        for option in ("A", "B", "C", None)
    },
    "cifar20-grey": cifar(20, {"in_channels": 1}, option="A"),
    "cifar29-bottleneck": cifar(
        29, {"block": Bottleneck, "shortcut": "B"}, option="B", bottleneck=True, stride_on="1x1"
    ),
    **{
        f"preact{depth}-{option or 'plain'}": cifar(
            depth, {"block": PreActBasicBlock, "shortcut": option}, option=option, preact=True
        )
        for depth, option in ((20, "A"), (20, "B"), (20, "C"), (20, None), (110, "A"))
    },
    **{
        f"preact{depth}-bottleneck": cifar(
            depth,
            {"block": PreActBottleneck, "shortcut": "B"},
            option="B",
            preact=True,
            bottleneck=True,
            stride_on="1x1",
        )
        for depth in (29, 164, 1001)
    },
}


def logits(net: ResNet, rules: Rules, x: Tensor) -> Tensor:
    return Pass(net.state_dict(), rules, training=False).logits(x)


def training_step(net: ResNet, rules: Rules, x: Tensor) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Loss, every gradient and every running statistic of one step, by the forward pass of this file."""
    weights = {name: tensor.detach().clone().requires_grad_() for name, tensor in net.named_parameters()}
    buffers = {name: tensor.clone() for name, tensor in net.named_buffers() if "running" in name}
    run = Pass({**weights, **buffers}, rules, training=True)
    loss = F.cross_entropy(run.logits(x), labels(x))
    loss.backward()
    assert run.used == set(run.tensors), f"the net has tensors that the paper's has not: {set(run.tensors) - run.used}"
    return loss.detach(), {name: tensor.grad for name, tensor in weights.items()}, buffers


def labels(x: Tensor) -> Tensor:
    return torch.arange(len(x)) + 1


def steps_apart(net: ResNet, rules: Rules, x: Tensor) -> dict[str, float]:
    """How far the net's training step is from this file's: loss, gradients, running statistics."""
    loss, gradients, statistics = training_step(net, rules, x)
    net.train().zero_grad()
    found = F.cross_entropy(net(x), labels(x))
    found.backward()
    return {
        "loss": distance(found.detach(), loss),
        "gradients": furthest({name: tensor.grad for name, tensor in net.named_parameters()}, gradients),
        "statistics": furthest({name: net.get_buffer(name) for name in statistics}, statistics),
    }


def double(row: Row) -> ResNet:
    return randomise(row.build().double(), {"C": 0.75, None: 1.0}.get(row.rules.option, 0.6)).eval()


@pytest.mark.parametrize("name", ROWS)
def test_the_net_is_the_papers(name: str):
    row = ROWS[name]
    net, x = double(row), images(*row.shape)
    with torch.no_grad():
        wanted = logits(net, row.rules, x)
        assert distance(net(x), wanted) < ROUNDING
        nudge(net, "conv1.weight")  # the control: the logits depend on the very first layer
        assert distance(net(x), wanted) > SEEN
    apart = steps_apart(net, row.rules, x)
    assert max(apart.values()) < ROUNDING, apart
    assert all(count == 1 for key, count in net.state_dict().items() if key.endswith("num_batches_tracked"))


@pytest.mark.parametrize(
    ("name", "slip"),
    [
        ("resnet50-3x3", {"stride_on": "1x1"}),
        ("resnet50-1x1", {"stride_on": "3x3"}),
        ("resnet18", {"eps": 1.001e-5}),
        ("cifar20-A", {"pad_at": "both sides"}),  # akamaster's option A
        ("cifar20-A", {"option": None}),
        ("cifar20-plain", {"option": "A"}),
        ("resnet50v2", {"pool_pad": -float("inf")}),  # torch's own padding
        ("resnet50v2", {"eps": 1e-5}),
        ("preact20-A", {"activated_shortcut": False}),
        ("preact20-B", {"activated_shortcut": False}),
        ("preact164-bottleneck", {"stride_on": "3x3"}),
    ],
)
def test_a_broken_rule_is_seen(name: str, slip: dict):
    """The control: were the net built by the other rule, the test above would fail, in eval mode and in training."""
    row = ROWS[name]
    net, x = double(row), images(*row.shape)
    rules = replace(row.rules, **slip)
    with torch.no_grad():
        assert distance(net(x), logits(net, rules, x)) > SEEN
    apart = steps_apart(net, rules, x)
    assert min(apart.values()) > SEEN, apart


def test_another_momentum_is_seen():
    row = ROWS["resnet18"]
    net, x = double(row), images(*row.shape)
    apart = steps_apart(net, replace(row.rules, momentum=0.01), x)  # 0.01 is Keras's
    assert apart["statistics"] > SEEN
    assert apart["gradients"] < ROUNDING


@pytest.mark.parametrize("name", ["resnet18", "resnet50-3x3", "cifar20-A", "preact20-B", "preact29-bottleneck"])
def test_zero_init_residual_starts_every_block_as_its_shortcut(name: str):
    row = ROWS[name]
    for zero in (True, False):
        torch.manual_seed(0)
        net = row.build(zero_init_residual=zero).double()
        for block in net.blocks().values():
            residual = block.residual(images(2, block.in_channels, 8, 8))
            assert torch.equal(residual, torch.zeros_like(residual)) == zero
        # the first step too: nothing flows into the branches yet, except into what ends them
        assert max(steps_apart(net, row.rules, images(*row.shape)).values()) < ROUNDING


def test_the_1202_layer_net_can_be_built():
    with torch.device("meta"):
        net = cifar_resnet(1202)
    assert sum(parameter.numel() for parameter in net.parameters()) == 19_421_274
    assert len(net.blocks()) == 600


def test_the_plain_net_is_the_residual_net_without_the_shortcut():
    residual, plain = cifar_resnet(20), cifar_plain(20)
    assert residual.state_dict().keys() == plain.state_dict().keys()
    assert not any(isinstance(block.downsample, nn.Module) for block in plain.blocks().values())
