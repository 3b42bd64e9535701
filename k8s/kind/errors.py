"""The error of the local cluster: one sentence that says what is wrong and what to do."""


class ClusterError(Exception):
    """The cluster cannot be made or reached."""
