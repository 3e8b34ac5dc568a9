"""Images to vectors: torch, batching, cache, image statistics."""
