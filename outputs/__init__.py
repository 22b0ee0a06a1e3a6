"""Finished images: the PNG files, their sidecars and the gallery over them."""
