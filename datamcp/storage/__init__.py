"""Where data is kept.

`location` tells the local path that a URL or a path means; `atomic` writes files that are either
whole or not there; `wildcards` finds many files by a pattern; `filesystem` opens what is behind
other URLs, and `remote` reads and writes there; `roots` says which places outside of the artifacts
may be read and written. `artifacts` keeps the files that the steps of a run hand to each other in a
folder, and `remote_artifacts` behind a URL; `store` chooses between the two. `scratch` is where a
process has files meanwhile, and `copies` brings there what an attempt reads.
"""
