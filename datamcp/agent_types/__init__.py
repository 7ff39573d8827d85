"""The product's own agents. `research` reads and reports."""
