from resnet_lib.data import images as data  # noqa: F401  # its old place
