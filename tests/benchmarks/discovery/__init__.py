"""Discovery beside its peers, on data whose failing groups are known."""
