"""The nets: shortcuts, blocks, whole architectures, and what they cost."""
