"""Label formats: batches out, returns in."""
