"""A durable task and pipeline engine for agents, on Celery."""
