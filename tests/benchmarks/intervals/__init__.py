"""How often intervals of shares cover where units come in groups."""
