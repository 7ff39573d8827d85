"""The worker processes of this deployment: one module per pool, two lines each.

Agents of your own have their place here too: a module with a class, named in `config/` under
`agents`. `celery -A workers.research worker` serves a pool; so does `datamcp worker research`.
"""
