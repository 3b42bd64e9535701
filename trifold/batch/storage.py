"""Files by address, on a disk or in S3, by Arrow's file systems; and what their errors mean."""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from pyarrow import fs

from trifold.errors import InputRefused, JobError, TrifoldError, Unavailable, first_line

CONNECT_SECONDS, REQUEST_SECONDS, TRIES = 10, 60, 5
"""For S3; with its waits between tries, a server that is away is given up after about ten seconds."""
AWS_ERROR = re.compile(r"AWS Error ([A-Z_]+)(?: \(HTTP status (\d+)\))?.*?operation: (.*)")
WIDTH = re.compile(r"Expected (\d+) columns, got (\d+)")
SETUP = frozenset(
    {
        "NO_SUCH_BUCKET",
        "ACCESS_DENIED",
        "INVALID_ACCESS_KEY_ID",
        "INVALID_CLIENT_TOKEN_ID",
        "INVALID_SIGNATURE",
        "SIGNATURE_DOES_NOT_MATCH",
        "MISSING_AUTHENTICATION_TOKEN",
        "UNRECOGNIZED_CLIENT",
        "INCOMPLETE_SIGNATURE",
        "VALIDATION",
    }
)
"""What S3 says when trying again does not help: names of aws-sdk-cpp's CoreErrors and S3Errors."""
SETUP_STATUS = frozenset({"301", "400", "401", "403"})
SETUP_ERRNO = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
)


def locate(address: str, environment: Mapping[str, str]) -> tuple[fs.FileSystem, str]:
    """A file system of Arrow's and the path in it.

    Raises:
        JobError: No address that is known: file:///… or s3://bucket/….
        Unavailable: S3 does not say where the bucket is.
    """
    scheme, _, path = address.partition("://")
    if scheme == "file" and path.startswith("/"):
        return fs.LocalFileSystem(), path
    bucket = path.partition("/")[0]
    if scheme != "s3" or not bucket:
        raise JobError(f"{address[:100]!r} is no address of files; write file:///folder/… or s3://bucket/folder/….")
    with said(address):
        options = _options(bucket, environment)
        try:
            return fs.S3FileSystem(**options, allow_delayed_open=True), path  # one request for a small file, not three
        except TypeError:  # an older Arrow
            return fs.S3FileSystem(**options), path


def _options(bucket: str, environment: Mapping[str, str]) -> dict[str, Any]:
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    endpoint, region = environment.get("AWS_ENDPOINT_URL", ""), environment.get("AWS_REGION", "")
    options = {
        "endpoint_override": endpoint.rstrip("/") or None,
        "region": region or ("us-east-1" if endpoint else fs.resolve_s3_region(bucket)),
        "connect_timeout": CONNECT_SECONDS,
        "request_timeout": REQUEST_SECONDS,
        "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=TRIES),
    }
    if key and secret:
        token = environment.get("AWS_SESSION_TOKEN") or None
        options |= {"access_key": key, "secret_key": secret, "session_token": token}
    return options


@contextmanager
def said(where: str) -> Iterator[None]:
    """Turn errors of files and of S3 into ours; `where` is what was read or written."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise _meant(error, where) from None


@contextmanager
def readable(path: str) -> Iterator[None]:
    """As `said`, where a file of somebody else's is read: it may be broken, and what is in it stands in no message."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None) or AWS_ERROR.search(str(error)):
            raise _meant(error, path) from None
        width = WIDTH.search(str(error))
        words = f"a row has {width[2]} values for {width[1]} columns" if width else first_line(error)
        raise InputRefused(f"{path} cannot be read: {words}.") from None


def _meant(error: Exception, where: str) -> TrifoldError:
    said_by_s3 = AWS_ERROR.search(str(error))
    if said_by_s3:
        code, status, words = said_by_s3.groups()
        words = words.partition(" (Request ID")[0].partition("; Details")[0].rstrip(".")[:200]
        words = "it does not say why" if words.startswith("No response body") else words
        number = f"{code} {status}" if status else code
        if code in SETUP or status in SETUP_STATUS:
            return JobError(f"S3 refuses {where}: {words} ({number}).")
        return Unavailable(f"S3 failed at {where}: {words} ({number}).")
    system = getattr(error, "errno", None)
    if system in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"There is no room for {where}: {os.strerror(system)}.")
    if system:
        kind = JobError if system in SETUP_ERRNO else Unavailable
        return kind(f"{where} cannot be used: {os.strerror(system)}.")
    return Unavailable(f"{where} cannot be used: {first_line(error)}.")
