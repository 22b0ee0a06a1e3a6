"""The runner: a supervisor that watches the spool, and a worker process that owns the device.

Only the worker's modules (worker, devices, pipelines, generation and what they import) load torch.
"""
