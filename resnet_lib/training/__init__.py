from resnet_lib.data import images as data  # noqa: F401  # where it was before it had a floor of its own
