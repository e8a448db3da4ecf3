"""Experiments as data, measured grids, and the records of both: `python -m resnet_lib list` shows what there is."""
