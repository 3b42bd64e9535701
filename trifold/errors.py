"""Everything that Trifold refuses: one family of errors, each message a sentence that says what to do.

The errors know nothing of HTTP or exit codes; the edges map them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

RULES = {
    "json": "the body is no JSON",
    "media_type": "the body is declared as something else than application/json",
    "method": "the route has no such method",
    "http": "what came is no HTTP request",
    "path": "the server has no such route",
    "too_large": "the body has too many bytes or rows",
    "too_slow": "the body did not come in time",
    "timeout": "the request's grpc-timeout is no time",
    "busy": "what waits for the model would take too long, or is too much",
    "failed": "the server failed; a defect of Trifold or of the model",
    "body": "the request as a whole has another shape than documented",
    "row": "a row is neither an object nor a list, whichever the model takes",
    "missing_column": "a required column is absent",
    "unknown_column": "a column that the model does not have",
    "duplicate_column": "a column stands twice in one row",
    "missing": "a required value is null",
    "type": "a value of another type",
    "not_finite": "NaN or an infinite number",
    "out_of_range": "a number or time that the type cannot hold",
    "shape": "a tensor or list of another shape",
    "image": "a file that is no picture which is taken",
    "param": "a parameter that the model does not have, or of another type",
    "unknown_category": "none of the categories of training, of which a model's own code sees the numbers",
    "refused_by_model": "the model itself raised ValueError for this row, or answered it with no finite number",
}
"""The closed list of reasons for a reject, in every mode."""

GOT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Reject:
    """Why one value, row or request is refused.

    Attributes:
        row: Position of the row in what was sent, from 0; None when the whole request is meant.
        column: The column's name; None when the whole row is meant.
        rule: A key of RULES.
        expected: What would have been accepted, in words.
        got: What came, cut to 200 characters.
    """

    row: int | None
    column: str | None
    rule: str
    expected: str
    got: str

    def __post_init__(self) -> None:
        if len(self.got) > GOT_LENGTH:
            object.__setattr__(self, "got", self.got[: GOT_LENGTH - 1] + "…")


class TrifoldError(Exception):
    """Base of all errors that Trifold raises on purpose."""


class SignatureError(TrifoldError):
    """The model has no signature, or one that scikit-learn models cannot be served by."""


class ProfileError(TrifoldError):
    """The profile inside the artifact cannot be read, or does not fit the signature."""


class ColumnsMissing(TrifoldError):
    """A table lacks columns that the signature requires."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        super().__init__(f"The table lacks {_listed(columns)}, which the model requires; add it to the query.")


class ColumnsUnknown(TrifoldError):
    """A table has columns that the model does not have, where these are refused."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        super().__init__(f"The table has {_listed(columns)}, which the model does not know; leave it out.")


class ColumnsRepeated(TrifoldError):
    """A table has two columns of one name, which the model requires once."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        super().__init__(f"The table has {_listed(columns)} more than once; name each once in the query.")


class RowsRefused(TrifoldError):
    """The model raised ValueError for some rows, each alone.

    Attributes:
        rejects: One reject a refused row.
    """

    def __init__(self, rejects: Sequence[Reject]) -> None:
        self.rejects = tuple(rejects)
        super().__init__(f"The model refused {len(rejects)} of the rows; the first: {rejects[0].got}")


class NotJson(TrifoldError):
    """What came is no JSON."""


class BodyRefused(TrifoldError):
    """What came is JSON of another shape than documented."""

    def __init__(self, expected: str, got: str) -> None:
        self.rejects = (Reject(None, None, "body", expected, got),)
        super().__init__(f"Expected {expected}, got {got}.")


class TableRefused(BodyRefused):
    """A table in CSV that cannot be read as a whole: its encoding, its quotation marks, the names in its first line."""


class ParamsRefused(TrifoldError):
    """Parameters that the model does not have, or of another type."""

    def __init__(self, rejects: Sequence[Reject]) -> None:
        self.rejects = tuple(rejects)
        super().__init__(f"Parameter {rejects[0].column}: expected {rejects[0].expected}, got {rejects[0].got}.")


class ArtifactError(TrifoldError):
    """The artifact cannot be read as a scikit-learn model that MLflow logged."""


class DigestMismatch(TrifoldError):
    """The artifact's files are not those that were pinned."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"The model's files have changed: expected digest {expected[:12]}…, found {found[:12]}…. "
            "Restore the artifact, or register it as a new version."
        )


class UntrustedModel(TrifoldError):
    """Loading the artifact would run code or types that nobody vouched for.

    Attributes:
        types: The types that are not trusted, empty for a pickle.
    """

    def __init__(self, message: str, types: Sequence[str] = ()) -> None:
        self.types = tuple(types)
        super().__init__(message)


class RegistryError(TrifoldError):
    """The registry has no such model, alias or version, or does not answer."""


class RequirementsConflict(TrifoldError):
    """The model's requirements and the server's cannot be met together."""


class BuildError(TrifoldError):
    """A Bento or its image could not be built."""


class DeployError(TrifoldError):
    """A release could not be deployed; what served before serves on."""


class ServeError(TrifoldError):
    """The server could not be started."""


class JobError(TrifoldError):
    """A batch job is described or set up in a way that cannot be run: its schedule, query, sink, slot or database."""


class InputRefused(TrifoldError):
    """A slot's input cannot be scored as a whole: wrong columns, keys missing or twice, too many rejects."""


class SlotCommitted(TrifoldError):
    """Another version has committed this slot, and nobody asked to replace it."""


class Unavailable(TrifoldError):
    """A database or storage is away, or another process has just taken over; trying again may help."""


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(column) for column in columns[:10])
    more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    return f"column{'s' if len(columns) > 1 else ''} {shown}{more}"


def first_line(error: BaseException) -> str:
    """What another library's error says first, to stand in a sentence of ours."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
