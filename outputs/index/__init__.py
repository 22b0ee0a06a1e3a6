"""The derived index of images."""
