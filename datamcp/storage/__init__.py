"""Where data is kept.

`location` tells the local path that a URL or a path means; `atomic` writes files that are either
whole or not there; `wildcards` finds many files by a pattern; `remote` reads and writes what is
behind other URLs; `roots` says which places outside of the artifacts may be read and written;
`artifacts` keeps the files that the steps of a run hand to each other.
"""
