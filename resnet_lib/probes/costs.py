"""What a net costs: parameters, multiply-adds, memory for activations, and how far each layer sees.

Nothing is computed and the net stays as it is: a copy without numbers (on torch's "meta" device, in eval mode) runs
once, and every operation that passes by is counted. Any `nn.Module` will do.
"""

from collections import OrderedDict
from copy import deepcopy
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from resnet_lib.arguments import require_int

Size = tuple[int, int, int]  # one image: (C, H, W)
Sight = tuple[tuple[int, int], ...]  # height and width: (receptive field, jump), a jump being the pixels per step
MAX_POOL = "max_pool2d_with_indices"  # torch's name for it among its operations


@dataclass(frozen=True)
class Cost:
    """What one layer, or one stage, costs for one image."""

    name: str
    kind: str
    shape: tuple[int, ...]  # of the output: (C, H, W) of a map, (num_classes,) of the classifier
    parameters: int  # trainable; those that two layers share are counted once
    macs: int  # multiply-adds of convolutions and matrix products, without biases
    activation_bytes: int  # of the outputs in float32, which training keeps; 0 where the output is the input
    receptive_field: int  # pixels along its longer side; it counts padding, so it can exceed the image


@dataclass(frozen=True)
class CostTable:
    """`rows` are the layers that ran (modules without children), in order; printed, it shows the stages and a total.

    Additions are no modules and have no row, and ReLUs have none either: both could work in place, without memory.
    """

    rows: tuple[Cost, ...]

    @property
    def stages(self) -> tuple[Cost, ...]:
        """The rows summed up: stem, layer1, … and head of a net with stages of blocks; else by top-level module."""
        tops = [row.name.split(".")[0] for row in self.rows]
        if blocks := [i for i, row in enumerate(self.rows) if row.name.count(".") > 1]:
            tops[: blocks[0]] = ["stem"] * blocks[0]
            tops[blocks[-1] + 1 :] = ["head"] * (len(tops) - blocks[-1] - 1)
        groups = groupby(zip(tops, self.rows, strict=True), key=lambda pair: pair[0])
        return tuple(_sum(top, [row for _, row in pairs]) for top, pairs in groups)

    @property
    def total(self) -> Cost:
        """All rows summed up, with the last shape and the widest receptive field."""
        return _sum("total", self.rows)

    def __str__(self) -> str:
        lines = [f"{'':8} {'output':>14} {'parameters':>12} {'multiply-adds':>15} {'memory, MB':>11} {'sees, px':>9}"]
        for row in (*self.stages, self.total):
            shape, megabytes = "×".join(map(str, row.shape)), row.activation_bytes / 1e6
            figures = f"{row.parameters:12,} {row.macs:15,} {megabytes:11.2f} {row.receptive_field:9,}"
            lines.append(f"{row.name:8} {shape:>14} {figures}")
        return "\n".join(lines)


def count_parameters(model: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def count_macs(model: nn.Module, input_size: Size | None = None) -> int:
    """Multiply-adds for one image, of convolutions and matrix products without biases, as papers and torchvision count.

    Papers often call them FLOPs. Without `input_size` (C, H, W) the image is 224 × 224, in the channels that the first
    convolution takes. Raises TypeError or ValueError for another kind of `input_size`.
    """
    return cost_table(model, input_size).total.macs


def cost_table(model: nn.Module, input_size: Size | None = None) -> CostTable:
    """What every layer costs, for the same images as in `count_macs`."""
    return CostTable(tuple(_run(model, input_size).rows))


def receptive_field(model: nn.Module, input_size: Size | None = None) -> int:
    """The side, in pixels, of the square that one place of the last feature map depends on (Araujo et al. 2019).

    It is the same for every image size; without `input_size` it is measured as `count_macs` does. For nets whose maps
    shrink or keep their size. Raises ValueError for a net without a feature map.
    """
    meter = _run(model, input_size)
    if not meter.last_map:
        raise ValueError(f"model must make a feature map (N, C, H, W); no layer of this {type(model).__name__} does")
    return _pixels(meter.last_map)


def _run(model: nn.Module, input_size: Size | None) -> "_Meter":
    """A meter that has watched one image pass through a copy of `model`."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module, got {type(model).__name__}")
    if input_size is None:
        channels = next((module.in_channels for module in model.modules() if isinstance(module, nn.Conv2d)), 3)
        input_size = (channels, 224, 224)
    if not isinstance(input_size, (tuple, list)):
        raise TypeError(f"input_size must be a tuple (C, H, W), got {input_size!r} ({type(input_size).__name__})")
    if len(input_size) != 3:
        raise ValueError(f"input_size must be (C, H, W) of one image, without the batch, got {tuple(input_size)}")
    for letter, value in zip("CHW", input_size, strict=True):
        require_int(f"{letter} of input_size", value)
    instead: dict[int, Any] = {}  # what deepcopy puts in the place of weights and of the owner's hooks
    insides = [vars(module) for module in model.modules()]
    for tensor in _tensors(insides):
        empty = torch.empty_like(tensor, device="meta", requires_grad=False)
        instead[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    for hooks in (value for state in insides for name, value in state.items() if name.endswith("_hooks")):
        instead[id(hooks)] = OrderedDict() if isinstance(hooks, dict) else hooks
    meter = _Meter(deepcopy(model, instead).eval())
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    with torch.inference_mode(False), torch.no_grad(), torch.device("meta"):
        image: Any = torch.empty(1, *input_size, dtype=dtype)
        image.sight = ((1, 1), (1, 1))
        with meter:
            meter.model(image)
    return meter


class _Meter(TorchDispatchMode):
    """Sees every operation: counts its multiply-adds, and writes on its output how far that sees."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.rows: list[Cost] = []
        self.running = [0]  # multiply-adds of the modules that are running, the innermost last
        self.counted: set[nn.Parameter] = set()
        self.last_map: Sight = ()
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda *_: self.running.append(0))
            module.register_forward_hook(lambda module, x, y, name=name: self.add_row(name, module, x, y))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operation = func.overloadpacket
        output: Any
        if "batch_norm" in operation.__name__:  # torch takes 2 to 4 ms for these on the meta device; the shape is known
            output = (torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0))
        elif operation.__name__ == "relu":
            output = torch.empty_like(args[0])
        else:
            output = func(*args, **(kwargs or {}))
        if operation in flop_registry:  # torch counts a multiply-add as two operations
            self.running[-1] += flop_registry[operation](*args, **(kwargs or {}), out_val=output) // 2
        inputs = [x for x in tree_leaves(args) if hasattr(x, "sight")]
        for y in _tensors(output) if inputs else ():
            y.sight = _look(operation.__name__, args, inputs[0], y, _widest([x.sight for x in inputs]))
            if y.ndim == 4 and all(jump for _, jump in y.sight):
                self.last_map = y.sight
        return output

    def add_row(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        """A module has run: it gets a row if it is a layer, or holds weights or multiplies on its own."""
        macs = self.running.pop()
        new = {p for p in module.parameters(recurse=False) if p.requires_grad} - self.counted
        self.counted |= new
        tensors = _tensors(output)
        if tensors and (new or macs or not any(module.children())) and not isinstance(module, nn.ReLU):
            held = {x.untyped_storage()._cdata for x in _tensors(inputs)}
            memory = sum(4 * y.numel() for y in tensors if y.untyped_storage()._cdata not in held)
            kind, shape = type(module).__name__, tuple(tensors[0].shape[1:])
            sees = _pixels(getattr(tensors[0], "sight", ()))
            self.rows.append(Cost(name or kind, kind, shape, sum(p.numel() for p in new), macs, memory, sees))


def _look(operation: str, args: Any, x: Tensor, y: Tensor, sight: Sight) -> Sight:
    """How far `y` sees: a window of k places adds (k - 1) · jump pixels, a stride multiplies the jump."""
    if x.ndim != 4:
        return sight
    size, left = tuple(x.shape[2:]), tuple(y.shape[2:])
    kernel: tuple[int, ...] = (1, 1)
    stride: tuple[int, ...] = (1, 1)
    if y.ndim != 4 or (left == (1, 1) != size and operation not in ("convolution", MAX_POOL, "slice")):
        kernel, stride = size, (0, 0)  # a global pool, or a flattened map: all places at once, and no step is left
    elif operation == "convolution":
        kernel, stride = tuple((k - 1) * d + 1 for k, d in zip(args[1].shape[2:], args[5], strict=True)), args[3]
    elif operation in (MAX_POOL, "avg_pool2d"):
        kernel, stride = args[1], args[2] if len(args) > 2 and args[2] else args[1]
    elif operation == "_adaptive_avg_pool2d":
        kernel = stride = tuple(-(-n // m) for n, m in zip(size, left, strict=True))
    elif operation == "slice" and len(args) > 4:  # x[:, :, ::2, ::2] of option A
        stride = tuple(args[4] if axis == args[1] else 1 for axis in (2, 3))
    return tuple((field + (k - 1) * jump, jump * s) for (field, jump), k, s in zip(sight, kernel, stride, strict=True))


def _widest(sights: list[Sight]) -> Sight:
    """What several inputs see together, as in F(x) + x."""
    return tuple((max(f for f, _ in axis), max(j for _, j in axis)) for axis in zip(*sights, strict=True))


def _tensors(tree: Any) -> list[Any]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _pixels(sight: Sight) -> int:
    return max((field for field, _ in sight), default=0)


def _sum(name: str, rows: Any) -> Cost:
    """One row for several: costs add up, the shape is the last one's, and the widest view counts."""
    columns = ("parameters", "macs", "activation_bytes")
    parameters, macs, memory = (sum(getattr(row, column) for row in rows) for column in columns)
    shape, sees = rows[-1].shape if rows else (), max((row.receptive_field for row in rows), default=0)
    return Cost(name, "sum", shape, parameters, macs, memory, sees)
