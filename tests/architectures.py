"""Every net by arithmetic from the papers' tables, without the library's models, and the published figures.

He et al. 2015, table 1 (ImageNet) and section 4.2 (CIFAR-10); He et al. 2016, section 4; Keras Applications for V2.
"""

from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import torch

import resnet_lib

IMAGENET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@dataclass
class Tally:
    """Adds up what a table lists: shapes by torchvision's names, multiply-adds, what a place of the map sees."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of the state dict
    macs: int = 0
    stages: list[tuple[int, int, int]] = field(default_factory=list)  # (C, H, W) at the end of each
    sees: int = 1
    jump: int = 1

    def conv(self, name, inputs, outputs, kernel, size, bias=False):
        self.shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
        if bias:
            self.shapes[f"{name}.bias"] = (outputs,)
        self.macs += kernel * kernel * inputs * outputs * size * size

    def norm(self, name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            self.shapes[f"{name}.{part}"] = (channels,)
        self.shapes[f"{name}.num_batches_tracked"] = ()

    def linear(self, name, inputs, outputs):
        self.shapes |= {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
        self.macs += inputs * outputs

    def look(self, kernel, stride=1):
        """Araujo et al. 2019: a kernel of k adds (k - 1) jumps, a stride multiplies the jump."""
        self.sees += (kernel - 1) * self.jump
        self.jump *= stride

    def _count(self, *parts):
        return sum(prod(shape) for key, shape in self.shapes.items() if key.rpartition(".")[2] in parts)

    @property
    def parameters(self):
        return self._count("weight", "bias")

    @property
    def buffers(self):
        """What Keras calls non-trainable: the running means and variances."""
        return self._count("running_mean", "running_var")


def imagenet(depth, *, option="B", stride_on="3x3"):
    """He et al. 2015, table 1: 7×7 at stride 2, max-pool, stages of 56, 28, 14 and 7 pixels."""
    tally = Tally()
    tally.conv("conv1", 3, 64, 7, 112)
    tally.norm("bn1", 64)
    tally.look(7, 2)
    tally.look(3, 2)
    bottleneck = depth >= 50
    stages = zip(IMAGENET[depth], (64, 128, 256, 512), (56, 28, 14, 7), strict=True)
    _stages(tally, stages, option, 64, bottleneck, False, stride_on)
    tally.linear("fc", 2048 if bottleneck else 512, 1000)
    return tally


def cifar(depth, *, option="A", bottleneck=False, preact=False, in_channels=3, width=16, num_classes=10):
    """He et al. 2015, section 4.2: 3×3 stem, three stages at 32, 16 and 8 pixels. He et al. 2016: bottlenecks."""
    n, rest = divmod(depth - 2, 9 if bottleneck else 6)
    assert rest == 0
    tally = Tally()
    tally.conv("conv1", in_channels, width, 3, 32)
    tally.look(3)
    if not preact:
        tally.norm("bn1", width)
    stages = ((n, width * 2**stage, 32 // 2**stage) for stage in range(3))
    _stages(tally, stages, option, width, bottleneck, preact, "1x1")
    last = width * 4 * (4 if bottleneck else 1)
    if preact:
        tally.norm("norm", last)
    tally.linear("fc", last, num_classes)
    return tally


def _stages(tally, stages, option, channels, bottleneck, preact, stride_on):
    expansion = 4 if bottleneck else 1
    for stage, (blocks, width, size) in enumerate(stages, start=1):
        for index in range(blocks):
            name = f"layer{stage}.{index}"
            stride = 2 if stage > 1 and index == 0 else 1
            if bottleneck:
                first = stride if stride_on == "1x1" else 1
                convs = [(width, 1, first), (width, 3, stride // first), (4 * width, 1, 1)]
            else:
                convs = [(width, 3, stride), (width, 3, 1)]
            inputs, now = channels, size * stride
            for number, (outputs, kernel, step) in enumerate(convs, start=1):
                now //= step
                if preact:
                    tally.norm(f"{name}.bn{number}", inputs)
                tally.conv(f"{name}.conv{number}", inputs, outputs, kernel, now)
                if not preact:
                    tally.norm(f"{name}.bn{number}", outputs)
                tally.look(kernel, step)
                inputs = outputs
            changes = stride > 1 or channels != width * expansion
            if option == "C" or (option == "B" and changes):
                tally.conv(f"{name}.downsample.0", channels, width * expansion, 1, size)
                if not preact:
                    tally.norm(f"{name}.downsample.1", width * expansion)
            channels = width * expansion
        tally.stages.append((channels, size, size))


def keras_v2(depth):
    """Keras Applications: biases where no norm follows, none behind the stem, stages 1 to 3 stride as they end."""
    tally = Tally()
    tally.conv("conv1", 3, 64, 7, 112, bias=True)
    tally.look(7, 2)
    tally.look(3, 2)
    channels, size = 64, 56
    for stage, (blocks, width) in enumerate(zip(IMAGENET[depth], (64, 128, 256, 512), strict=True), start=1):
        for index in range(blocks):
            name = f"layer{stage}.{index}"
            stride = 2 if index == blocks - 1 and stage < 4 else 1
            tally.norm(f"{name}.bn1", channels)
            tally.conv(f"{name}.conv1", channels, width, 1, size)
            if index == 0:
                tally.conv(f"{name}.downsample.0", channels, 4 * width, 1, size, bias=True)
            size //= stride
            tally.norm(f"{name}.bn2", width)
            tally.conv(f"{name}.conv2", width, width, 3, size)
            tally.look(3, stride)
            tally.norm(f"{name}.bn3", width)
            tally.conv(f"{name}.conv3", width, 4 * width, 1, size, bias=True)
            channels = 4 * width
        tally.stages.append((channels, size, size))
    tally.norm("norm", channels)
    tally.linear("fc", channels, 1000)
    return tally


@dataclass(frozen=True)
class Net:
    """How the library builds a net, what the tables come to, and what is published."""

    builder: str
    arguments: dict[str, Any]
    tally: Tally
    parameters: int
    buffers: int | None = None  # running means and variances
    macs: str | None = None  # as published: "1.814 G"
    depth: int | None = None  # of a CIFAR net

    def build(self, **more):
        arguments = [] if self.depth is None else [self.depth]
        return getattr(resnet_lib, self.builder)(*arguments, **self.arguments, **more)

    @cached_property
    def meta(self):
        """The net without numbers, in eval mode; do not change it."""
        with torch.device("meta"):
            return self.build().eval()

    @property
    def input_size(self):
        return (self.arguments.get("in_channels", 3), 32, 32) if self.depth else (3, 224, 224)

    def __str__(self):
        parts = (
            self.builder,
            self.depth or "",
            *(getattr(value, "__name__", value) for value in self.arguments.values()),
        )
        return "-".join(str(part) for part in parts if part != "")


def _cifar_net(depth, option, parameters, macs=None, **arguments):
    tally = cifar(depth, option=option, in_channels=arguments.get("in_channels", 3))
    return Net("cifar_resnet", {"shortcut": option, **arguments}, tally, parameters, None, macs, depth)


def _preact_net(depth, parameters):
    arguments = {"block": resnet_lib.PreActBottleneck, "shortcut": "B"}
    return Net(
        "cifar_resnet", arguments, cifar(depth, option="B", bottleneck=True, preact=True), parameters, depth=depth
    )


A, C, V1 = {"shortcut": "A"}, {"shortcut": "C"}, {"stride_on": "1x1"}

NETS = [
    # ImageNet: torchvision's figures, and Keras's "non-trainable" ones. Multiply-adds of convolutions and classifier.
    Net("resnet18", {}, imagenet(18), 11_689_512, 9_600, "1.814 G"),
    Net("resnet34", {}, imagenet(34), 21_797_672, 17_024, "3.664 G"),
    Net("resnet18", A, imagenet(18, option="A"), 11_515_688, 7_808, "1.795 G"),
    Net("resnet34", A, imagenet(34, option="A"), 21_623_848, 15_232, "3.644 G"),
    Net("plain18", {}, imagenet(18, option=None), 11_515_688, 7_808, "1.795 G"),
    Net("plain34", {}, imagenet(34, option=None), 21_623_848, 15_232, "3.644 G"),
    Net("resnet18", C, imagenet(18, option="C"), 12_043_816, 11_648, "1.878 G"),
    Net("resnet34", C, imagenet(34, option="C"), 22_716_840, 22_784, "3.831 G"),
    Net("resnet50", {}, imagenet(50), 25_557_032, 53_120, "4.089 G"),
    Net("resnet101", {}, imagenet(101), 44_549_160, 105_344, "7.801 G"),
    Net("resnet152", {}, imagenet(152), 60_192_808, 151_424, "11.514 G"),
    Net("resnet50", V1, imagenet(50, stride_on="1x1"), 25_557_032, 53_120, "3.858 G"),
    Net("resnet101", V1, imagenet(101, stride_on="1x1"), 44_549_160, 105_344, "7.570 G"),
    Net("resnet152", V1, imagenet(152, stride_on="1x1"), 60_192_808, 151_424, "11.282 G"),
    Net("resnet50v2", {}, keras_v2(50), 25_568_360, 45_440, "3.482 G"),
    Net("resnet101v2", {}, keras_v2(101), 44_577_896, 97_664, "7.194 G"),
    Net("resnet152v2", {}, keras_v2(152), 60_236_904, 143_744, "10.907 G"),
    # CIFAR-10: He et al. 2015, section 4.2 and table 6; figures per option.
    _cifar_net(20, "A", 269_722, "40.6 M"),
    _cifar_net(32, "A", 464_154, "68.9 M"),
    _cifar_net(44, "A", 658_586, "97.2 M"),
    _cifar_net(56, "A", 853_018, "125.5 M"),
    _cifar_net(110, "A", 1_727_962, "252.9 M"),
    _cifar_net(20, None, 269_722, "40.6 M"),
    _cifar_net(110, None, 1_727_962, "252.9 M"),
    _cifar_net(20, "A", 269_434, in_channels=1),
    _cifar_net(20, "B", 272_474),
    _cifar_net(32, "B", 466_906),
    _cifar_net(44, "B", 661_338),
    _cifar_net(56, "B", 855_770),
    _cifar_net(110, "B", 1_730_714),
    _cifar_net(20, "C", 283_962),
    _cifar_net(32, "C", 489_594),
    _cifar_net(44, "C", 695_226),
    _cifar_net(56, "C", 900_858),
    _cifar_net(110, "C", 1_826_202),
    # He et al. 2016: KaimingHe/resnet-1k-layers
    _preact_net(164, 1_703_258),
]
# Expensive to build or to run even without numbers: built once, run by arithmetic.
GIANTS = [
    _cifar_net(1202, "A", 19_421_274, "2829.2 M"),
    _cifar_net(1202, "B", 19_424_026),
    _cifar_net(1202, "C", 20_538_714),
    _preact_net(1001, 10_327_706),
]
