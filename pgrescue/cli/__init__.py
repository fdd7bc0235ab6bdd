"""The command line: arguments in, text or JSON out. Standard output is data, stderr narration."""
