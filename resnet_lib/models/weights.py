"""Weights into our nets: published ones by name, checkpoints of all kinds, Keras's by a table of names.

Everything is checked before the first weight moves. What does not fit is refused, and the net stays as it was.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from resnet_lib import files, state_dicts
from resnet_lib.arguments import require_choice
from resnet_lib.files import cache_folder, check_hash
from resnet_lib.models.blocks import BasicBlock
from resnet_lib.models.resnet import PRESETS, Config, ResNet
from resnet_lib.models.shortcuts import ZeroPadShortcut
from resnet_lib.urls import WEIGHTS

MADE_FOR = PRESETS | {  # and four of the nets that akamaster trained on CIFAR-10
    f"cifar_resnet{6 * n + 2}": Config(BasicBlock, (n, n, n), "A-centred", num_classes=10, width=16, stem="cifar")
    for n in (3, 5, 7, 9)
}
# Keras's layer names -> ours: (the whole net, each block, the first block of a stage). By name, never by position:
# in `keras_model.layers` a projection stands in the middle of its block.
KERAS_V1 = (
    {"conv1_conv": "conv1", "conv1_bn": "bn1", "predictions": "fc"},
    {"1_conv": "conv1", "1_bn": "bn1", "2_conv": "conv2", "2_bn": "bn2", "3_conv": "conv3", "3_bn": "bn3"},
    {"0_conv": "downsample.0", "0_bn": "downsample.1"},
)
KERAS_V2 = (  # Keras counts a block's norms from the one after conv1, we (and He et al. 2016) from the one before it
    {"conv1_conv": "conv1", "post_bn": "norm", "predictions": "fc"},
    {"preact_bn": "bn1", "1_conv": "conv1", "1_bn": "bn2", "2_conv": "conv2", "2_bn": "bn3", "3_conv": "conv3"},
    {"0_conv": "downsample.0"},
)
PARTS = ("weight", "bias", "running_mean", "running_var")  # Keras: kernel, bias or gamma, beta, moving_mean, _variance


def load_pretrained(model: ResNet, name: str, *, file: str | Path | None = None, download: bool = True) -> ResNet:
    """Load published weights, such as "resnet50.IMAGENET1K_V1", into `model` and return it.

    `file` is your copy of the published file; without it the file comes from the cache folder, or is downloaded into
    it unless download=False. Its sha256 is checked each time, and no code in it is run. All want RGB images of shape
    (N, 3, H, W), scaled to [0, 1], minus the mean (0.485, 0.456, 0.406), divided by the deviation (0.229, 0.224,
    0.225). "cifar_resnet20.AKAMASTER" and its like are for 32×32 and `cifar_resnet(20, shortcut="A-centred")`.

    Raises ValueError for an unknown name, for a net that the weights were not made for (depth, stride_on, norm_eps,
    num_classes …) and for other keys or shapes; DamagedFileError for a file that is not the published one;
    FileNotFoundError; ConnectionError with no network.
    """
    require_choice("name", name, tuple(WEIGHTS))
    _require_net(model, MADE_FOR[name.partition(".")[0]], name)
    url = WEIGHTS[name]
    path = Path(file).expanduser() if file is not None else cache_folder() / "weights" / url.rpartition("/")[2]
    expected = url.rpartition("-")[2].partition(".")[0]
    if file is None and download and not path.exists():
        files.download(url, path, expected)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; {name} is published as {url}")
    content = path.read_bytes()
    own = f"weights of your own go into a net by load_weights(net, {path.name!r}) or net.load_state_dict(…)"
    check_hash(path, content, expected, **({"advice": own} if file is not None else {}))
    return _fill(model, state_dicts.read(path, content), str(path))


def load_weights(model: ResNet, source: str | Path | Mapping[str, Any], *, head: str = "keep") -> ResNet:
    """Load a checkpoint of your own, or of others, into `model` and return it.

    `source` is a file that torch.save wrote, or what is in one. Dicts around the weights ("state_dict") and prefixes
    ("module.", "backbone.", "_orig_mod.") are seen through, and a classifier of another name is found. head="drop"
    loads all but the classifier: `model` keeps its own, say for other classes. No code in a file is run.

    No checkpoint says where a net strides, its norm_eps, or what its images went through: that is yours to know.
    Raises ValueError, which says what is missing, where the weights do not fit; the net then stays as it was.
    """
    require_choice("head", head, ("keep", "drop"))
    _require_net(model)
    if isinstance(source, (str, Path)):
        return _fill(model, state_dicts.read(Path(source).expanduser()), str(source), head)
    return _fill(model, source, "the checkpoint", head)


def load_keras_weights(model: ResNet, keras_model: Any) -> ResNet:
    """Load the weights of a Keras Applications ResNet (V1 or V2) into `model` and return it.

    Keras's V1 is `resnet50(stride_on="1x1", norm_eps=1.001e-5)`, its V2 `resnet50v2()`; 101 and 152 likewise. V1 wants
    BGR pixels from 0 to 255, minus the mean (103.939, 116.779, 123.68); V2 RGB pixels scaled to [-1, 1]. To train on
    as Keras does, set `momentum` of the norms to 0.01, which is Keras's 0.99. Raises ValueError for a net that differs
    from the Keras model, or a Keras model that is no such net.
    """
    arrays = {layer.name: found for layer in getattr(keras_model, "layers", ()) if (found := layer.get_weights())}
    stages = Counter(match[1] for layer in arrays if (match := re.fullmatch(r"conv(\d)_block\d+_1_conv", layer)))
    if not (stages and "conv1_conv" in arrays and "predictions" in arrays):
        raise ValueError(
            f"keras_model must be a ResNet of keras.applications with include_top=True, got a "
            f"{type(keras_model).__name__} without conv1_conv, conv2_block1_1_conv or predictions"
        )
    is_v2 = "post_bn" in arrays
    made_for = replace(
        PRESETS["resnet50v2" if is_v2 else "resnet50"],
        layers=tuple(stages[stage] for stage in sorted(stages)),
        in_channels=arrays["conv1_conv"][0].shape[-2],
        num_classes=arrays["predictions"][0].shape[-1],
        stride_on="3x3" if is_v2 else "1x1",
        norm_eps=1.001e-5,
    )
    _require_net(model, made_for, "the Keras model")
    names, own, state = keras_name_map(made_for), model.state_dict(), {}
    for layer, values in arrays.items():
        for part, tensor in zip(PARTS, map(torch.as_tensor, values), strict=False):
            # Keras keeps kernels as (height, width, in, out) and the classifier as (in, out)
            state[f"{names.get(layer, layer)}.{part}"] = tensor.movedim((-1, -2), (0, 1)) if tensor.ndim > 1 else tensor
    for bias in [key for key in state if key.endswith(".bias") and key not in own and not is_v2]:
        # V1 adds a bias b before each norm, which takes it away again: norm(x + b) with mean m is norm(x) with m - b
        mean = bias.replace("downsample.0", "downsample.1").replace("conv", "bn").replace(".bias", ".running_mean")
        if mean in state:
            state[mean] = state[mean] - state.pop(bias)
    return _fill(model, state, "the Keras model")


def keras_name_map(config: Config) -> dict[str, str]:
    """Every layer with weights of a Keras Applications ResNet -> its name in the net that `config` describes."""
    net, block, first_block = KERAS_V2 if config.block.preact else KERAS_V1
    names = dict(net)
    for stage, number_of_blocks in enumerate(config.layers, start=1):
        for index in range(number_of_blocks):
            for theirs, ours in (block if index else block | first_block).items():
                names[f"conv{stage + 1}_block{index + 1}_{theirs}"] = f"layer{stage}.{index}.{ours}"
    return names


def _require_net(model: ResNet, made_for: Config | None = None, source: str = "") -> None:
    """Refuse what would load and give wrong logits: the stride, eps and padding stand in no state dict."""
    if not isinstance(model, ResNet):
        raise TypeError(f"model must be a ResNet of this library, got {type(model).__name__}")
    if made_for is None:
        return
    theirs, ours = ({**vars(config), "block": config.block.__name__} for config in (made_for, model.config))
    for name in ["zero_init_residual"] + ["stride_on"] * issubclass(made_for.block, BasicBlock):
        ours[name] = theirs[name]  # these do not change the logits
    state_dicts.require_equal(theirs, ours, source)


def _fill(model: ResNet, source: Any, origin: str, head: str = "keep") -> ResNet:
    """All of the weights in `source` or nothing."""
    own, state = model.state_dict(), state_dicts.plain(source, origin)
    if any(isinstance(module, ZeroPadShortcut) and not module.centred for module in model.modules()):
        state_dicts.require_zeros_at_the_end(state, origin)
    model.load_state_dict(state_dicts.fitted(state_dicts.with_head(state, own, head), own, origin))
    return model
