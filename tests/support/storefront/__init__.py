"""A Celery project as they are: some modules of tasks, base classes, retries, canvases.

Tests copy it into an installation under another name. Its tasks tell what they did in files that
the tests name.
"""
