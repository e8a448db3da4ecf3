"""Where a net looks: Grad-CAM and feature maps. Both in eval mode."""

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn.functional import interpolate

from resnet_lib.probes.hooks import checked, find_layer, undisturbed, watching


def grad_cam(
    model: nn.Module, images: Tensor, class_index: int | Tensor | None = None, layer: str | None = None
) -> Tensor:
    """What speaks for a class, as a map over each image (Selvaraju et al. 2017, section 3).

    images (N, C, H, W) -> (N, H, W) in [0, 1], each map's maximum 1 unless nothing speaks for the class: then it is 0.
    class_index: one class, one for each image (N,), or None for the predicted ones. layer: a name such as "layer3.2",
    default the last block. Raises ValueError for a class or a layer that the net does not have.
    """
    images, _ = checked(model, images)
    name, module = find_layer(model, layer)
    images.requires_grad_()  # so that there is a gradient in nets whose weights are frozen
    with undisturbed(model, training=False), watching({name: module}) as outputs:
        logits = model(images.clone())
        classes = _classes(class_index, logits)
        features = outputs[name]
        gradient = grad(logits.gather(1, classes[:, None]).sum(), features)[0]
    importance = gradient.mean((2, 3), keepdim=True)  # of each channel, equation 1
    maps = (importance * features).detach().sum(1, keepdim=True).relu()  # equation 2
    maps = interpolate(maps, images.shape[2:], mode="bilinear")[:, 0]
    return maps / maps.amax((1, 2), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)


def _classes(class_index: int | Tensor | None, logits: Tensor) -> Tensor:
    """One class for each image, (N,)."""
    count, classes = logits.shape
    if class_index is None:
        return logits.argmax(1)
    chosen = torch.as_tensor(class_index, device=logits.device)
    if chosen.is_floating_point() or chosen.shape not in ((), (count,)):
        raise ValueError(f"class_index must be one int or int64 of shape ({count},), got {class_index!r}")
    if not ((chosen >= 0) & (chosen < classes)).all():
        raise ValueError(f"class_index must be from 0 to {classes - 1}, got {class_index!r}")
    return chosen.long().expand(count)


def feature_maps(model: nn.Module, images: Tensor, layer: str) -> Tensor:
    """The output of the module called `layer`: images (N, C, H, W) -> (N, C', H', W'). ValueError lists the layers."""
    images, _ = checked(model, images)
    name, module = find_layer(model, layer)
    with undisturbed(model, training=False), torch.no_grad(), watching({name: module}) as outputs:
        model(images)
    return outputs[name]
