"""From raw documents to a corpus: normalised, without junk and duplicates, split by cluster."""
