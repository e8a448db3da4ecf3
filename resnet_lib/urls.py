"""Every public address that the library may fetch from, in one place. Nothing is fetched unless a cell says so.

A weights file's name ends in the first eight hex digits of its sha256, as torch.hub wants it.
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
# CIFAR-10 nets of option A, zeros on both sides (BSD 2-clause, test errors 8.27, 7.37, 6.90 and 6.61 %).
_AKAMASTER = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/"
WEIGHTS |= {
    "cifar_resnet20.AKAMASTER": _AKAMASTER + "resnet20-12fca82f.th",
    "cifar_resnet32.AKAMASTER": _AKAMASTER + "resnet32-d509ac18.th",
    "cifar_resnet44.AKAMASTER": _AKAMASTER + "resnet44-014dd654.th",
    "cifar_resnet56.AKAMASTER": _AKAMASTER + "resnet56-4bfd9763.th",
}

FASHION_MNIST = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
CIFAR10 = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
