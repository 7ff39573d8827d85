"""Agents: classes with capabilities, served by worker pools of their type.

`capability` marks a method as something that can be enqueued. `agent` is the base of every agent.
`registry` finds the configured classes and what they can do; `celery_tasks` finds the Celery tasks
of modules that an agent type has in place of a class. `manager` is the specification's
`AgentManager`.
"""
