"""The one photo of the course, prepared as torchvision prepares ImageNet images for evaluation."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from resnet_lib.files import check_hash

PHOTO = Path(__file__).parent / "photo" / "chelsea.png"
PHOTO_SHA256 = "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_photo(*, resize: int = 256, crop: int = 224) -> Tensor:
    """The cat as a batch of one, float32 (1, 3, crop, crop), standardised with ImageNet's mean and deviation.

    The shorter side becomes `resize` pixels, then the middle `crop` × `crop` are taken. DamagedFileError.
    """
    content = PHOTO.read_bytes()
    check_hash(PHOTO, content, PHOTO_SHA256)
    photo = Image.open(io.BytesIO(content)).convert("RGB")
    scale = resize / min(photo.size)
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BILINEAR)
    left, top = (photo.width - crop) // 2, (photo.height - crop) // 2
    pixels = np.asarray(photo.crop((left, top, left + crop, top + crop)), dtype=np.float32) / 255
    standardised = (pixels - np.asarray(IMAGENET_MEAN, np.float32)) / np.asarray(IMAGENET_STD, np.float32)
    return torch.from_numpy(standardised).permute(2, 0, 1).unsqueeze(0).contiguous()
