"""The native API: one module of resources per noun, and the form of their answers."""
