"""The write-ahead log: segment names, page headers, the archive and its timelines."""
