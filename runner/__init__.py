"""The runner: a supervisor without torch and the worker process that owns the device."""
