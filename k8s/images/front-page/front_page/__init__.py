"""The front page of charts/platform's gateway: which models there are, for people."""
