"""`python -m datamcp` is the same as the command `datamcp`."""

from datamcp.cli import main

if __name__ == "__main__":
    main()
