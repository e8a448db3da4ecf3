"""Costs against arithmetic from the tables, torchinfo, the published figures, and gradients that really flow."""

import pytest
import torch
import torchinfo
from architectures import GIANTS, NETS, Net
from torch import nn

from resnet_lib.models.blocks import BasicBlock, Bottleneck
from resnet_lib.models.cifar import cifar_plain, cifar_resnet
from resnet_lib.models.resnet import resnet18, resnet50
from resnet_lib.probes.costs import cost_table, count_macs, count_parameters, receptive_field

every_net = pytest.mark.parametrize("net", NETS, ids=str)


@every_net
def test_multiply_adds_are_the_tables_and_the_published_ones(net: Net):
    macs = count_macs(net.meta, net.input_size)
    assert macs == net.tally.macs
    if net.macs:
        number, unit = net.macs.split()
        decimals = len(number.partition(".")[2])
        assert f"{macs / {'G': 1e9, 'M': 1e6}[unit]:.{decimals}f}" == number


@pytest.mark.parametrize("net", GIANTS, ids=str)
def test_giants_by_arithmetic(net: Net):
    assert net.macs is None or round(net.tally.macs / 1e6, 1) == float(net.macs.split()[0])


@every_net
def test_the_table_adds_up(net: Net):
    table = cost_table(net.meta, net.input_size)
    for name in ("parameters", "macs", "activation_bytes"):
        total = getattr(table.total, name)
        assert total == sum(getattr(row, name) for row in table.rows) == sum(getattr(s, name) for s in table.stages)
    assert table.total.parameters == net.parameters
    assert [stage.shape for stage in table.stages if stage.name.startswith("layer")] == net.tally.stages
    assert receptive_field(net.meta) == net.tally.sees


COMPARED = "resnet18 resnet34-A resnet50 resnet50-1x1 resnet50v2 cifar_resnet-20-A cifar_resnet-20-C".split()


@pytest.mark.parametrize("net", [net for net in NETS if str(net) in COMPARED], ids=str)
def test_agrees_with_torchinfo_to_the_digit(net: Net):
    summary = torchinfo.summary(net.build(), (1, *net.input_size), verbose=0, depth=9)
    assert summary.total_params == net.parameters
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    layers = [info for info in summary.summary_list if isinstance(info.module, kinds)]
    rows = [row for row in cost_table(net.meta, net.input_size).rows if row.kind in [kind.__name__ for kind in kinds]]
    for info, row in zip(layers, rows, strict=True):  # both in the order of the forward pass
        assert tuple(info.output_size[1:]) == row.shape
        assert info.num_params == row.parameters
        if row.kind != "BatchNorm2d":
            bias = 0 if info.module.bias is None else info.module.bias.numel()
            pixels = row.shape[1] * row.shape[2] if len(row.shape) == 3 else 1
            assert info.macs == row.macs + bias * pixels  # torchinfo counts biases
        assert info.output_bytes == row.activation_bytes


@pytest.mark.parametrize(
    "make",
    [
        lambda: cifar_resnet(8, width=2),
        lambda: cifar_resnet(20, width=2),
        lambda: cifar_plain(20, width=2),
        lambda: cifar_resnet(11, width=2, block=Bottleneck),
    ],
    ids=["resnet-8", "resnet-20", "plain-20", "bottleneck-11"],
)
def test_a_place_sees_as_far_as_gradients_reach(make):
    """With positive weights nothing cancels: the pixels with a gradient are the receptive field."""
    net = make().double().eval()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.1)
    side = 2 * receptive_field(net) + 1
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    maps = []
    handle = net.layer3.register_forward_hook(lambda *call: maps.append(call[2]))
    net(image)
    handle.remove()
    middle = maps[0].shape[-1] // 2
    maps[0][0, 0, middle, middle].backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == receptive_field(net)


def test_known_receptive_fields():
    """483 for ResNet-50 is in Araujo et al. 2019. V1.5 sees less far: its 3×3 works before the stride, not after it."""
    assert receptive_field(resnet50(stride_on="1x1")) == 483
    assert receptive_field(resnet50()) == 427


def test_a_stride_moved_is_seen():
    moved = resnet50(stride_on="1x1")
    assert count_parameters(moved) == count_parameters(resnet50())
    assert count_macs(moved) < count_macs(resnet50())


def test_nothing_is_computed_and_nothing_changes():
    net = resnet18().train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    generator = torch.get_rng_state()
    cost_table(net)
    assert net.training
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert torch.equal(generator, torch.get_rng_state())


def test_blocks_and_foreign_modules_can_be_counted():
    assert count_macs(BasicBlock(4, 4), (4, 5, 6)) == 2 * 9 * 4 * 4 * 5 * 6
    assert count_macs(nn.Linear(3, 4), (2, 5, 3)) == 2 * 5 * 3 * 4


def test_shared_parameters_are_counted_once():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    assert count_parameters(nn.Sequential(conv, conv)) == count_parameters(conv)
    assert cost_table(nn.Sequential(conv, conv), (3, 4, 4)).total.parameters == count_parameters(conv)


@pytest.mark.parametrize(
    ("size", "error", "words"),
    [
        ((1, 3, 32, 32), ValueError, "without the batch"),
        (32, TypeError, "must be a tuple"),
        ((3, 0, 32), ValueError, "H of input_size"),
        ((3, 32.0, 32), TypeError, "H of input_size"),
    ],
)
def test_bad_sizes_are_named(size, error, words):
    with pytest.raises(error, match=words):
        cost_table(cifar_resnet(8), size)


def test_a_net_without_maps_has_no_receptive_field():
    with pytest.raises(ValueError, match="feature map"):
        receptive_field(nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 2)))
