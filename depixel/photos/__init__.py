"""From an archive to a row of the prepared array: decoding, rules, near-duplicates."""
