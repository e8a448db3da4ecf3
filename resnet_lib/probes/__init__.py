"""Measurements on any net, which is afterwards bit for bit what it was; other starts for the nets of this library."""
