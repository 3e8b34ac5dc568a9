"""FiftyOne and MongoDB: where everything is kept."""
