"""Pipelines: directed acyclic graphs of steps, run on Celery and recorded in the ledger.

- `definition`: what a pipeline is, as its author writes it
- `unsupported`: what the grammar has and this version can't do yet
- `references`: `${…}` in a configuration: edges, values, and the parameters of a run
- `graph`: which step waits for which
- `check`: what is wrong with a definition as a whole
- `document`: a YAML file as values that know their lines
- `loader`: a file as a definition, with everything that is wrong with it
- `tree`: what comes one after the other, and what runs side by side
- `reduction`: the graph without the edges that follow from others
- `contraction`: every series-parallel part of a graph shrunk to one module
- `decomposition`: the modules of a graph as one tree
- `plan`: a graph compiled to its tree, and cut into what leaves as one canvas
- `canvas`: a unit as a Celery canvas
- `status`: what callers are told of pipelines, runs and steps
- `tables`, `ledger`: the rows of pipelines and runs, and every statement on them
- `compiled`: definitions made ready to run, remembered per process
- `processing`: data processors as task types
- `send`: where a unit leaves for the broker
- `run`: what a step is given, and what follows when it is settled
- `trigger`: a run from its parameters to its first messages
- `orchestrator`: the façade, `rt.pipelines`
"""
