"""Grad-CAM against class activation maps, which it equals in a net that ends in a global pool (section 3.1)."""

import pytest
import torch
from probe_helpers import foreign_net, small_batch, small_net
from torch import Tensor, nn
from torch.nn.functional import interpolate

from resnet_lib.probes.saliency import feature_maps, grad_cam

BATCH = small_batch()


@pytest.mark.parametrize("class_index", [None, 3, "one each"])
def test_grad_cam_of_the_last_block_is_the_class_activation_map(class_index: object):
    """CAM (Zhou et al. 2016): the last features, weighted by the classifier's own weights. An independent original."""
    model = small_net().eval()
    features = last_features(model)
    classes = {None: model(BATCH.images).argmax(1), 3: torch.full((6,), 3)}.get(class_index, torch.arange(6))
    cam = torch.einsum("nc,nchw->nhw", model.fc.weight[classes], features).relu()
    cam = interpolate(cam[:, None], (8, 8), mode="bilinear")[:, 0]
    expected = cam / cam.amax((1, 2), keepdim=True).clamp_min(1e-300)
    result = grad_cam(model, BATCH.images, classes if class_index == "one each" else class_index)
    torch.testing.assert_close(result, expected.detach())
    assert result.shape == (6, 8, 8) and not result.requires_grad


def last_features(model: nn.Module) -> Tensor:
    x = model.bn1(model.conv1(BATCH.images)).relu()
    return model.layer3(model.layer2(model.layer1(x)))


@pytest.mark.parametrize("options", [{}, {"preact": True}, {"shortcut": None}, {"depth": 11, "shortcut": "B"}], ids=str)
@pytest.mark.parametrize("layer", [None, "conv1", "layer2", "layer1.0.bn2"])
def test_maps_lie_between_0_and_1_for_any_layer(options: dict, layer: str | None):
    maps = grad_cam(small_net(**options), BATCH.images, layer=layer)
    assert maps.shape == (6, 8, 8) and maps.min() >= 0
    peaks = maps.amax((1, 2))
    assert (torch.isclose(peaks, torch.ones_like(peaks)) | (peaks == 0)).all() and (peaks > 0).any()


class Sides(nn.Module):
    """Class 0 is what the first channel sees, class 1 the second; the channels see positive and negative pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.eyes = nn.Conv2d(1, 2, 1, bias=False)
        self.eyes.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.eyes(x).relu().mean((2, 3))


def test_maps_respond_to_the_class():
    images = torch.zeros(1, 1, 8, 8)
    images[..., :3], images[..., 5:] = 1, -1
    left, right = (grad_cam(Sides(), images, c, layer="eyes")[0] for c in (0, 1))
    assert (left[:, :3] == 1).all() and (left[:, 3:] == 0).all()
    assert (right[:, 5:] == 1).all() and (right[:, :5] == 0).all()


def test_a_class_that_nothing_speaks_for_gives_an_empty_map():
    model = small_net()
    model.fc.weight.data[5] = -model.fc.weight.data[5].abs()
    assert (grad_cam(model, BATCH.images, 5) == 0).all()


def test_nan_stays_visible_and_in_its_image():
    images = BATCH.images.clone()
    images[0, 0, 0, 0] = torch.nan
    maps = grad_cam(small_net(), images, 1)
    assert maps[0].isnan().any() and maps[1:].isfinite().all()


@pytest.mark.parametrize("layer", ["conv1", "layer2", "layer2.0", "layer2.0.conv1"])
def test_feature_maps_are_what_the_layer_puts_out(layer: str):
    model, kept = small_net(), []
    handle = model.get_submodule(layer).register_forward_hook(lambda _, __, output: kept.append(output))
    model.eval()(BATCH.images)
    handle.remove()
    result = feature_maps(model.train(), BATCH.images, layer)
    assert torch.equal(result, kept[0]) and not result.requires_grad


def test_feature_maps_before_an_in_place_relu_have_negative_values():
    assert (feature_maps(foreign_net(), BATCH.images, "layer1.0.norm") < 0).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_index": 10}, "class_index must be from 0 to 9, got 10"),
        ({"class_index": -1}, "class_index must be from 0 to 9, got -1"),
        ({"class_index": 1.5}, r"class_index must be one int or int64 of shape \(6,\), got 1.5"),
        ({"class_index": torch.tensor([1, 2])}, r"class_index must be one int or int64 of shape \(6,\)"),
        ({"layer": "layer7"}, "layer must be one of conv1, .*layer1.0.conv1.*; got 'layer7'"),
        ({"layer": ""}, "layer must be one of"),
    ],
)
def test_what_cannot_be_mapped_is_refused_in_words(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        grad_cam(small_net(), BATCH.images, **arguments)
