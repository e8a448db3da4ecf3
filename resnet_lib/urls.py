"""Every public address that the library may fetch from, in one place. Nothing is fetched unless a cell says so.

A weights file's name ends in the first eight hex digits of its sha256, as torchvision publishes it.
"""

_TORCH = "https://download.pytorch.org/models/"
WEIGHTS = {
    "resnet18.IMAGENET1K_V1": _TORCH + "resnet18-f37072fd.pth",
    "resnet34.IMAGENET1K_V1": _TORCH + "resnet34-b627a593.pth",
    "resnet50.IMAGENET1K_V1": _TORCH + "resnet50-0676ba61.pth",
    "resnet50.IMAGENET1K_V2": _TORCH + "resnet50-11ad3fa6.pth",
    "resnet101.IMAGENET1K_V1": _TORCH + "resnet101-63fe2227.pth",
    "resnet101.IMAGENET1K_V2": _TORCH + "resnet101-cd907fc2.pth",
    "resnet152.IMAGENET1K_V1": _TORCH + "resnet152-394f9c45.pth",
    "resnet152.IMAGENET1K_V2": _TORCH + "resnet152-f82ba261.pth",
}

FASHION_MNIST = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
CIFAR10 = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
