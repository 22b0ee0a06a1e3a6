"""What knows nothing of jobs: files, locks, paths, settings, log, errors, indexes.

Nothing here imports another package of this project.
"""
