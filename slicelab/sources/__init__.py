"""Files to sample tables: readers, image decoding, thumbnails."""
