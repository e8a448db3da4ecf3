"""The nets of the papers in parts: stages, blocks and layers, and what each costs. For the ArchitectureExplorer."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import groupby

import torch

from resnet_lib.models.blocks import PreActBasicBlock
from resnet_lib.models.resnet import PRESETS, Config, build
from resnet_lib.probes.costs import Cost, CostTable, cost_table

WHOLE = "whole net"


@dataclass(frozen=True)
class NetView:
    """A net, its layers in order, and what its parts cost."""

    name: str
    table: CostTable

    @cached_property
    def blocks(self) -> dict[str, tuple[Cost, ...]]:
        """The layers of each block: "layer1.0" first."""
        groups = groupby((row for row in self.table.rows if block_of(row)), key=block_of)
        return {name: tuple(rows) for name, rows in groups}

    @property
    def parts(self) -> tuple[str, ...]:
        """What can be selected."""
        names = [WHOLE, "stem"]
        for block in self.blocks:
            names += [block.split(".")[0]] if block.endswith(".0") else []
            names.append(block)
        return (*names, "head")

    def rows(self, part: str) -> tuple[Cost, ...]:
        """What is inside a part: stages of the net, blocks of a stage, layers of a block."""
        if part == WHOLE:
            return self.table.stages
        if part in self.blocks:
            return self.blocks[part]
        if part.startswith("layer"):
            return tuple(
                replace(CostTable(rows).total, name=name)
                for name, rows in self.blocks.items()
                if name.startswith(f"{part}.")
            )
        inside = [bool(block_of(row)) for row in self.table.rows]
        first, last = inside.index(True), len(inside) - inside[::-1].index(True)
        return self.table.rows[:first] if part == "stem" else self.table.rows[last:]


def field(view: NetView) -> int:
    """The receptive field of the last feature map."""
    return max(row.receptive_field for rows in view.blocks.values() for row in rows)


def config_of(net: str, version: str) -> Config:
    """The architecture by depth and version. Basic blocks do not know V1 from V1.5; plain nets have one version."""
    if net.startswith("plain"):
        return PRESETS[net.replace("-", "")]
    if version == "V2" and f"resnet{net}v2" in PRESETS:
        return PRESETS[f"resnet{net}v2"]
    preset = PRESETS[f"resnet{net}"]
    if version == "V2":
        return replace(preset, block=PreActBasicBlock)
    return replace(preset, stride_on="1x1" if version == "V1" else "3x3")


def title_of(net: str, version: str) -> str:
    return net if net.startswith("plain") else f"ResNet-{net} {version}"


@lru_cache(64)
def view(net: str, version: str) -> NetView:
    """Run the net on a tensor without numbers. Of the middle blocks of a stage, which are all alike, one runs."""
    config = config_of(net, version)
    with torch.device("meta"):
        small = build(config, layers=tuple(min(number, 3) for number in config.layers))
    return NetView(title_of(net, version), CostTable(tuple(_repeated(cost_table(small).rows, config.layers))))


def _repeated(rows: tuple[Cost, ...], layers: tuple[int, ...]) -> Iterator[Cost]:
    """Put the middle blocks back: each costs what the one that ran costs, and sees a step further."""
    wider = seen = 0  # what the blocks put back add to what all later layers see; what the block before saw
    for block, group in groupby(rows, key=lambda row: block_of(row) or row.name):
        inside = list(group)
        number = layers[int(block[5]) - 1] if block_of(inside[0]) else 0
        copies = number - 2 if number > 3 and block.endswith(".1") else 1
        sees = max(row.receptive_field for row in inside)  # of a projection, which runs last, it is less
        step = sees - seen
        for copy in range(copies):
            for row in inside:
                yield replace(
                    row,
                    name=_renumbered(row.name, number, copy) if number > 3 else row.name,
                    receptive_field=row.receptive_field + wider + copy * step,
                )
        wider += (copies - 1) * step
        seen = sees


def _renumbered(name: str, number: int, copy: int) -> str:
    """Block 1 of the three that ran stands for 1 … n - 2, block 2 for the last."""
    stage, index, *rest = name.split(".")
    return ".".join([stage, {"0": "0", "1": str(1 + copy), "2": str(number - 1)}[index], *rest])


def block_of(row: Cost) -> str:
    """ "layer1.0" for "layer1.0.conv1", "" for layers outside the stages."""
    return ".".join(row.name.split(".")[:2]) if row.name.startswith("layer") else ""
