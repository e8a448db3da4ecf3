"""Other starting points: that they are what they say, and no more."""

import copy

import pytest
import torch
from torch import nn

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import ResNet
from resnet_lib.probes.starts import Scale, identity_shortcuts, near_identity, without_norm
from resnet_lib.training.loop import seeded


def net(shortcut: str | None = "A", depth: int = 20) -> ResNet:
    with seeded(0):
        return cifar_resnet(depth, shortcut=shortcut, width=4, in_channels=1)


def test_without_epsilon_a_block_is_the_identity_and_widening_adds_zeros() -> None:
    plain = near_identity(net(None), 0.0).eval()
    x = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(plain.layer1[1](x), x, rtol=1e-4, atol=1e-5)
    wide = plain.layer2[0](x)
    torch.testing.assert_close(wide[:, :4], x[:, :, ::2, ::2], rtol=1e-4, atol=1e-5)
    assert not wide[:, 4:].any()


def test_epsilon_scales_the_weights_that_were_there() -> None:
    plain, before = net(None), net(None)
    assert near_identity(plain, 0.1) is plain
    for name, conv in before.named_modules():
        if isinstance(conv, nn.Conv2d) and name != "conv1":
            rest = plain.get_submodule(name).weight - 0.1 * conv.weight
            torch.testing.assert_close(rest, nn.init.dirac_(torch.empty_like(rest)))
    assert torch.equal(plain.conv1.weight, before.conv1.weight)


def test_option_c_from_the_identity_computes_option_a() -> None:
    """In eval mode, where a new batch norm leaves its input as it is. The branches have the same weights."""
    a, c = net("A").eval(), net("C").eval()
    own = a.state_dict()
    c.load_state_dict({**c.state_dict(), **own})
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        expected = a(x)
        assert not torch.allclose(c(x), expected, atol=1e-3)
        torch.testing.assert_close(identity_shortcuts(c)(x), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("start", ["skipinit", "fixup"])
def test_quiet_branches_start_as_the_shortcut_alone(start: str) -> None:
    quiet = without_norm(net(), start)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quiet.modules())
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(quiet.layer1[2](x), x)
    if start == "skipinit":
        assert sum(isinstance(module, Scale) for module in quiet.modules()) == 9
        quiet(torch.randn(2, 1, 8, 8)).sum().backward()
        assert quiet.layer1[0].bn2.weight.grad.abs() > 0  # it can leave 0
    else:
        assert not quiet.fc.weight.any()
        torch.testing.assert_close(quiet.layer1[0].conv1.weight, net().layer1[0].conv1.weight / 3)  # 9 branches


def test_he_and_torch_without_norm() -> None:
    he, torchs = (without_norm(net(), start) for start in ("he", "torch"))
    assert torch.equal(he.layer1[0].conv1.weight, net().layer1[0].conv1.weight)
    ratio = he.layer3[1].conv1.weight.var() / torchs.layer3[1].conv1.weight.var()
    assert 4.5 < ratio < 7.5  # PyTorch's default has a sixth of He's variance


def test_unknown_start_is_named() -> None:
    before = copy.deepcopy(net().state_dict())
    unchanged = net()
    with pytest.raises(ValueError, match="start must be one of 'he', 'torch', 'skipinit', 'fixup', got 'zero'"):
        without_norm(unchanged, "zero")
    assert all(torch.equal(value, before[key]) for key, value in unchanged.state_dict().items())
