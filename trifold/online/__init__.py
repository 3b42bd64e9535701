"""The online mode: HTTP."""
