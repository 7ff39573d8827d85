"""Agents: classes with capabilities, served by worker pools of their type.

`capability` marks a method as something that can be enqueued. `agent` is the base of every agent.
`registry` finds the configured classes and what they can do. `manager` is the specification's
`AgentManager`.
"""
