"""The ledger's schema, step by step (Alembic). `datamcp.infra.migrate` runs them."""
