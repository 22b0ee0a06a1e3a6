"""The use cases, without HTTP: submit, look at a job, watch, estimate, retry, cancel, maintain."""
