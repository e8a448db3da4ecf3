"""Training: recipes, the loop and its history, checkpoints, devices.

`resnet_lib.training.data` is where the module data/images.py was until it got a floor of its own; scripts of others
still import it from here.
"""

from resnet_lib.data import images as data  # noqa: F401
