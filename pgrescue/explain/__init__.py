"""From a server's log and the words of its tools to a cause and the next safe step.

Pure: a log's text goes in, explanations come out. What this machine can add as evidence is asked
through the protocol in `host.py`.
"""
