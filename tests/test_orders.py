"""The five orders of He et al. 2016, figure 4, against formulas written down independently of the blocks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, relu

from resnet_lib import ORDERS, IdentityShortcut, cifar_resnet, count_parameters, lesion
from resnet_lib.models.blocks import Block

Step = Callable[[Tensor], Tensor]

# (block's convolutions c1, c2 and norms n1, n2, input x) -> output, as the panels of figure 4 are drawn
PANELS: dict[str, Callable[[Step, Step, Step, Step, Tensor], Tensor]] = {
    "original": lambda c1, c2, n1, n2, x: relu(n2(c2(relu(n1(c1(x))))) + x),
    "BN after addition": lambda c1, c2, n1, n2, x: relu(n2(c2(relu(n1(c1(x)))) + x)),
    "ReLU before addition": lambda c1, c2, n1, n2, x: relu(n2(c2(relu(n1(c1(x)))))) + x,
    "ReLU-only pre-activation": lambda c1, c2, n1, n2, x: n2(c2(relu(n1(c1(relu(x)))))) + x,
    "full pre-activation": lambda c1, c2, n1, n2, x: c2(relu(n2(c1(relu(n1(x)))))) + x,
}
every_order = pytest.mark.parametrize("name", ORDERS)


def steps(block: Any) -> tuple[Step, Step, Step, Step]:
    def conv(layer: Any) -> Step:
        return lambda x: conv2d(x, layer.weight, padding=1)

    def norm(layer: Any) -> Step:
        return lambda x: batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, False)

    return conv(block.conv1), conv(block.conv2), norm(block.bn1), norm(block.bn2)


def scrambled(block: Block) -> Block:
    for tensor in [*block.parameters(), *block.buffers()]:
        if tensor.ndim == 1:
            torch.nn.init.uniform_(tensor, 0.5, 2)
    return block.eval()


def test_the_panels_are_those_of_the_library() -> None:
    assert list(PANELS) == list(ORDERS), "ORDERS is figure 4 alone; pass another block as cifar_resnet(…, block=…)"


@every_order
def test_block_is_its_panel_and_no_other(name: str) -> None:
    torch.manual_seed(0)
    block, x = scrambled(ORDERS[name](4, 4, shortcut=IdentityShortcut())), torch.randn(3, 4, 6, 5)
    for panel, formula in PANELS.items():
        same = torch.allclose(block(x), formula(*steps(block), x), atol=1e-5)
        assert same == (panel == name), (name, panel)


@every_order
def test_all_orders_have_the_same_layers(name: str) -> None:
    net = cifar_resnet(20, block=ORDERS[name], in_channels=1, width=8)
    assert count_parameters(net) == count_parameters(cifar_resnet(20, in_channels=1, width=8))
    assert net(torch.randn(2, 1, 14, 14)).shape == (2, 10)


@every_order
def test_zero_init_starts_the_branch_at_zero(name: str) -> None:
    block, x = ORDERS[name](4, 4), torch.rand(3, 4, 6, 5) + 0.1
    block.zero_init_residual()
    block.eval()
    ends_in_norm = name == "BN after addition"  # at its start it divides by sqrt(1 + eps)
    assert torch.allclose(block(x), x, atol=1e-4 if ends_in_norm else 0)


@every_order
def test_the_last_sum_is_activated_before_the_pool(name: str) -> None:
    torch.manual_seed(0)
    net = cifar_resnet(8, block=ORDERS[name], in_channels=1, width=4).eval()
    seen: list[Tensor] = []
    net.avgpool.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    net(torch.randn(2, 1, 14, 14))
    assert not (seen[0] < 0).any()


@pytest.mark.parametrize("name", ["BN after addition", "ReLU before addition", "ReLU-only pre-activation"])
def test_what_makes_no_sense_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="shortcut must be 'A', 'B', 'C' or a module, got None"):
        ORDERS[name](4, 4, shortcut=None)


@every_order
def test_a_block_without_its_branch_is_its_panel_without_the_branch(name: str) -> None:
    """Its shortcut, and what follows the addition."""
    torch.manual_seed(0)
    net = cifar_resnet(8, block=ORDERS[name], in_channels=1, width=4)
    block, x = scrambled(net.layer1[0]), torch.randn(3, 4, 6, 5)
    norm = steps(block)[3]
    shortcut = relu(steps(block)[2](x)) if name == "full pre-activation" else x  # the first block activates it
    after = {"original": relu, "BN after addition": lambda x: relu(norm(x))}.get(name, lambda x: x)
    with lesion(net, delete="layer1.0"):
        torch.testing.assert_close(block(x), after(shortcut))
    assert not torch.allclose(block(x), after(shortcut))
