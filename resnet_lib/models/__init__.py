"""The nets: shortcuts, blocks, whole architectures, published weights into them, folding for inference."""
