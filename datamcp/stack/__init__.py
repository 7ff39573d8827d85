"""A whole installation on this machine, as child processes: broker, worker pools, beat, Flower.

`datamcp up` and `datamcp demo` run one. From the values to those who act on them:

`process` says what there is to run, `restarts` when what died is started anew. `record` is what a
stack tells other commands of its folder, `lock` keeps it the only one there, `logs` keeps its logs
within bounds, `leftovers` clears away what a killed one left. `ports` finds Flower's.

`stack` starts and ends the processes, each with a `life`, and starts anew what dies. `losses` gives
back what the dead were running, `inquiry` asks the ledger for that and who is ready, and `errand`
lets it take its time. `requests` are the signals that ask for an end. `keeper` brings all that
together for a stack that runs until it is told to end; `detached` starts one in the background,
and `ending` ends it from outside.

`status` looks at an installation, however it was started, and `merge` knows each process once.
`report` is what is found, and `warnings` what of that a person should know.
"""
