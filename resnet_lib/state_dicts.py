"""Other people's checkpoints: from a file to plain weights under the names that nets here have (torchvision's).

Only names and shapes are looked at; no code that a file holds is run. models/weights.py puts the result into a net.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lib.files import DamagedFileError

State = dict[str, Tensor]
# What training scripts call the weights among other things, the likeliest first.
INSIDE = ("state_dict", "model_state_dict", "model", "net")
# What DataParallel, torch.compile and FSDP write between the parts of a name.
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
ANCHOR = "layer1.0.conv1.weight"  # in every ResNet with torchvision's names; what stands before it is a prefix
BODY = ("conv1.", "bn1.", "layer", "norm.")
SAVE = "torch.save(net.state_dict(), path) writes a file of weights alone"


def read(path: Path, content: bytes | None = None) -> Any:
    """What torch.save wrote, without running code. DamagedFileError for a file of anything but plain weights."""
    try:  # `content` are the very bytes whose hash was checked
        return torch.load(io.BytesIO(path.read_bytes() if content is None else content), "cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        reason = str(error).partition(". ")[0].partition("\n")[0]
        if path.suffix == ".safetensors":
            reason = "safetensors.torch.load_file(path) reads such a file, and what it returns can be loaded here"
        raise DamagedFileError(f"{path} is not a file of plain weights: {reason}; {SAVE}") from error


def plain(source: Any, origin: str) -> State:
    """The weights in `source`, under the names of a bare net: no dict around them, no prefix, no wrapper's word.

    ValueError, in which `origin` names the source, where there are none or those of several nets.
    """
    state = _inside(source, origin)
    names = {key: ".".join(part for part in key.split(".") if part not in WRAPPERS) for key in state}
    prefixes = {name.removesuffix(ANCHOR) for name in names.values() if name == ANCHOR or name.endswith(f".{ANCHOR}")}
    if not prefixes:
        raise ValueError(
            f"{origin} has no {ANCHOR}, so it is no ResNet with torchvision's names; its keys begin with "
            f"{', '.join(list(names.values())[:3])}: rename them, or build the net that they were made for"
        )
    if len(prefixes) > 1:
        raise ValueError(
            f"{origin} holds several nets, under {', '.join(map(repr, sorted(prefixes)))}; pass the weights of one: "
            f"{{key: state[key] for key in state if key.startswith({max(prefixes)!r})}}"
        )
    (prefix,) = prefixes
    return {name.removeprefix(prefix).replace(".shortcut.", ".downsample."): state[key] for key, name in names.items()}


def _inside(source: Any, origin: str) -> State:
    """The innermost dict of tensors."""
    if isinstance(source, nn.Module):
        source = source.state_dict()
    if not isinstance(source, Mapping):
        raise ValueError(f"{origin} must hold tensors by name, got a {type(source).__name__}; {SAVE}")
    tensors = {key: value for key, value in source.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors and len(tensors) == len(source):
        return tensors
    inner = {key: value for key, value in source.items() if isinstance(value, (Mapping, nn.Module))}
    for key in INSIDE:
        if key in inner:
            return _inside(inner[key], f"{key!r} of {origin}")
    if tensors or not inner:  # an epoch or a score among the weights
        return tensors if ANCHOR in " ".join(tensors) else _refuse(origin, source)
    return _inside(next(iter(inner.values())), origin) if len(inner) == 1 else _refuse(origin, source)


def _refuse(origin: str, source: Mapping[Any, Any]) -> State:
    raise ValueError(
        f"{origin} must hold tensors by name, or one dict of them called {', '.join(map(repr, INSIDE))}; "
        f"it holds {', '.join(map(repr, list(source)[:5])) or 'nothing'}; pass the part with the weights"
    )


def with_head(state: State, own: State, head: str) -> State:
    """`state` with the classifier that a net with the weights `own` needs: its own for head="drop", else that of
    `state`, which may call it `linear`, `head` or `classifier` when there is no doubt which layer it is."""
    own_head = {key: own[key] for key in own if not key.startswith(BODY)}
    if head == "drop":
        return {key: tensor for key, tensor in state.items() if key.startswith(BODY)} | own_head
    spare = [key for key in state if not key.startswith(BODY)]
    if set(own_head) == {"fc.weight", "fc.bias"} and len(spare) == 2 and not set(spare) & set(own_head):
        weight, bias = sorted(spare, key=lambda key: -state[key].ndim)
        if (state[weight].ndim, state[bias].ndim) == (2, 1):
            state = {**state, "fc.weight": state[weight], "fc.bias": state[bias]}
            return {key: tensor for key, tensor in state.items() if key not in spare}
    return state


def require_zeros_at_the_end(state: State, origin: str) -> None:
    """ValueError for weights that show, by the name of their classifier, that option A pads on both sides."""
    if "linear.weight" in state:
        raise ValueError(
            f"{origin} calls the classifier linear, as akamaster's nets do, whose option A has zeros on both sides: "
            'build the net with shortcut="A-centred"; if the weights are others, rename linear to fc'
        )


def fitted(state: State, own: State, origin: str) -> State:
    """`state`, if its names and shapes are those of `own`. Old files do not count batches: then those of `own` stay."""
    counts = [key for key in own if key.removesuffix("num_batches_tracked") + "running_var" in state]
    state = {key: own[key] for key in counts} | state
    theirs, ours = ({key: tuple(tensor.shape) for key, tensor in tensors.items()} for tensors in (state, own))
    require_equal(theirs, ours, origin)
    return state


def require_equal(theirs: Mapping[str, Any], ours: Mapping[str, Any], source: str) -> None:
    """ValueError that names the first entries (shapes, or the fields of a Config) that differ, and what to do."""
    wrong = [
        f"{key} is {theirs.get(key, 'missing')} in the weights, {ours.get(key, 'missing')} in the net"
        for key in {**ours, **theirs}
        if theirs.get(key, "missing") != ours.get(key, "missing")
    ]
    if wrong:
        more = f"; and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        steps = "".join(f". {step}" for step in missing_steps(theirs, ours))
        raise ValueError(f"{source} does not fit the net, so nothing was loaded: {'; '.join(wrong[:4])}{more}{steps}")


def missing_steps(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """What to do, as far as the entries that differ show it."""
    if blocks(theirs) != blocks(ours):
        yield f"The weights are those of {blocks(theirs)} blocks in the stages, the net has {blocks(ours)}"
    if differs(theirs, ours, "in_channels", "conv1.weight", 1):
        yield (
            "Load into a net with the in_channels of the weights, then replace conv1 (for grey images, by one with the "
            "sum of conv1.weight over its channels)"
        )
    if differs(theirs, ours, "num_classes", "fc.weight", 0):
        yield (
            "Load into a net with the classes of the weights, then replace fc; "
            'or load_weights(net, …, head="drop") leaves the net its own fc'
        )


def blocks(entries: Mapping[str, Any]) -> tuple[int, ...]:
    """Blocks in each stage, from the names of the weights."""
    found = {tuple(key.split(".")[:2]) for key in entries if key.startswith("layer") and key.count(".") > 1}
    stages = [stage for stage, _ in sorted(found)]
    return tuple(stages.count(stage) for stage in dict.fromkeys(stages))


def differs(theirs: Mapping[str, Any], ours: Mapping[str, Any], field: str, key: str, axis: int) -> bool:
    """Does this field of a Config differ, or this axis of a weight?"""
    if field in ours:
        return theirs[field] != ours[field]
    return key in ours and (theirs.get(key) or ())[axis : axis + 1] != ours[key][axis : axis + 1]
