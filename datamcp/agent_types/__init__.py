"""The product's own agents. `research` writes reports of tables."""
