"""Whether a backup can be taken as asked, and what should be known before."""
