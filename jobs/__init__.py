"""What a job is and where it lives: the core that both programs share.

Nothing here imports torch, an HTTP framework or another package of this project.
"""
