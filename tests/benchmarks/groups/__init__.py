"""Groups and near-duplicates found in real data sets."""
