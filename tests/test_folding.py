"""fold_batch_norm: the same logits from fewer operations, and the original as it was."""

import pytest
import torch
from parity import distance, images, nudge, randomise
from torch import nn

from resnet_lib import (
    ORDERS,
    PRESETS,
    Bottleneck,
    PreActBasicBlock,
    PreActBottleneck,
    ProjectionShortcut,
    ResNet,
    build,
    cifar_plain,
    cifar_resnet,
)
from resnet_lib.models.folding import fold_batch_norm

NETS = {
    **{name: (lambda name=name: build(PRESETS[name], num_classes=5)) for name in ("resnet18", "resnet50", "plain18")},
    "resnet50-1x1": lambda: build(PRESETS["resnet50"], num_classes=5, stride_on="1x1", norm_eps=1.001e-5),
    "resnet18-C": lambda: build(PRESETS["resnet18"], num_classes=5, shortcut="C"),
    "resnet50v2": lambda: build(PRESETS["resnet50v2"], num_classes=5),
    "cifar20-A": lambda: cifar_resnet(20),
    "cifar20-plain": lambda: cifar_plain(20),
    "cifar29": lambda: cifar_resnet(29, block=Bottleneck, shortcut="B"),
    "preact20": lambda: cifar_resnet(20, block=PreActBasicBlock),
    "preact164": lambda: cifar_resnet(164, block=PreActBottleneck, shortcut="B"),
}
X = images(2, 3, 32, 32)
# The other orders of norm, ReLU and addition, and the norm that stays in each block.
OTHER_ORDERS = {"BN after addition": ["bn2"], "ReLU before addition": [], "ReLU-only pre-activation": []}


def norms(net: nn.Module) -> list[str]:
    return [name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize("name", NETS)
def test_the_logits_stay_and_the_norms_behind_convolutions_go(name: str):
    net = randomise(NETS[name]().double()).eval()
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    with torch.no_grad():
        wanted = net(X)
        folded = fold_batch_norm(net)
        assert distance(folded(X), wanted) < 1e-12
        assert torch.equal(net(X), wanted)
        nudge(folded, "conv1.weight")
        assert distance(folded(X), wanted) > 1e-8  # the control
    assert not folded.training
    # What is left follows an addition or the stem of a pre-activation net: there is no convolution to fold it into.
    left = [f"{block}.bn1" for block in net.blocks()] + ["norm"] if net.config.block.preact else []
    assert norms(folded) == left
    # The original is untouched, and shares nothing that a change of the copy could reach.
    assert all(torch.equal(tensor, net.state_dict()[key]) for key, tensor in state.items())
    addresses = {tensor.data_ptr() for tensor in net.state_dict().values()}
    assert not addresses & {tensor.data_ptr() for tensor in folded.state_dict().values()}


@pytest.mark.parametrize("order", OTHER_ORDERS)
def test_a_norm_that_follows_an_addition_stays(order: str):
    net = randomise(cifar_resnet(20, block=ORDERS[order], width=4).double()).eval()
    folded = fold_batch_norm(net)
    with torch.no_grad():
        assert distance(folded(X), net(X)) < 1e-12
    assert norms(folded) == [f"{block}.{norm}" for block in net.blocks() for norm in OTHER_ORDERS[order]]


def test_a_wrong_pairing_would_be_seen():
    """The control of the pairs: in a pre-activation block conv1 goes with bn2, not with bn1."""
    net = randomise(cifar_resnet(20, block=PreActBasicBlock).double()).eval()
    with torch.no_grad():
        wanted = net(X)
        block = net.layer1[0]
        block.conv1 = torch.nn.utils.fusion.fuse_conv_bn_eval(block.conv1, block.bn1)
        block.bn1 = nn.Identity()
        assert distance(net(X), wanted) > 1e-3


def test_folding_twice_changes_nothing():
    net = randomise(cifar_resnet(20).double()).eval()
    once = fold_batch_norm(net)
    twice = fold_batch_norm(once)
    with torch.no_grad():
        assert torch.equal(twice(X), once(X))
    assert not any(module.training for module in once.modules())


def test_folded_nets_keep_dtype_and_run_channels_last():
    net = randomise(build(PRESETS["resnet18"], num_classes=5)).eval()
    folded = fold_batch_norm(net.to(memory_format=torch.channels_last)).to(memory_format=torch.channels_last)
    assert {parameter.dtype for parameter in folded.parameters()} == {torch.float32}
    with torch.no_grad():
        x = X.float().to(memory_format=torch.channels_last)
        assert distance(folded(x), net(x)) < 1e-5


def test_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"eval mode, but the net is in training mode.*model\.eval\(\)"):
        fold_batch_norm(cifar_resnet(8))
    net = cifar_resnet(8).eval()
    net.layer2[0].bn2.train()  # one norm alone
    with pytest.raises(ValueError, match=r"layer2\.0\.bn2 is in training mode"):
        fold_batch_norm(net)
    assert isinstance(net.layer1[0].bn1, nn.BatchNorm2d)


def test_what_is_no_net_is_refused():
    with pytest.raises(TypeError, match="model must be a ResNet of this library, got Sequential"):
        fold_batch_norm(nn.Sequential().eval())  # type: ignore[arg-type]


def test_a_shortcut_of_ones_own_is_folded_if_it_is_a_projection():
    net = randomise(ResNet(Bottleneck, [1], num_classes=2).double()).eval()
    net.layer1[0].downsample = randomise(ProjectionShortcut(64, 256).double()).eval()
    with torch.no_grad():
        wanted = net(X)
        folded = fold_batch_norm(net)
        assert distance(folded(X), wanted) < 1e-12
    assert norms(folded) == []
