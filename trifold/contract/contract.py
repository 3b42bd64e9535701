"""The contract: what a model takes, checked for a whole table at once, and why a row is refused.

Two doors, one set of rules: `check_rows` for decoded JSON (HTTP, events), `check` for Arrow
tables (batch). Both look at columns, not at rows, and only look at single values of a column in
which something is unusual.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trifold.contract.checked import Checked, Extra, text
from trifold.contract.columns import check_columns
from trifold.contract.dtypes import Dtype
from trifold.contract.profile import ImageInput, Profile
from trifold.contract.readers import Invalid
from trifold.contract.signature import Column, Param, Signature, parse
from trifold.contract.tensors import check_tensor
from trifold.errors import ParamsRefused, Reject
from trifold.rows import Array, Rows

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Contract:
    """What a model takes and gives.

    Attributes:
        signature: The input and output, as MLflow's signature has them.
        profile: What a signature cannot say; None for a model logged without `trifold.log_model`.
        document: MLflow's own signature, from which `signature` was read.
        dtypes: How columns stood in the DataFrame at training, by name, as far as that was found out.
    """

    signature: Signature
    profile: Profile | None
    document: Mapping[str, Any]
    dtypes: Mapping[str, Dtype] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        signature: Mapping[str, Any] | None,
        profile: Profile | None = None,
        dtypes: Mapping[str, Dtype] | None = None,
    ) -> "Contract":
        """The contract of a model from the signature in its MLmodel file and its profile.

        Args:
            signature: MLflow's.
            profile: Ours; it knows the dtypes of the training data.
            dtypes: What was found out of the columns' dtypes without a profile.

        Raises:
            SignatureError: No signature, or a type that no scikit-learn model takes.
        """
        known = {**(profile.dtypes if profile else {}), **(dtypes or {})}
        return cls(parse(signature).narrow(known), profile, dict(signature or {}), known)

    def to_json(self) -> dict[str, Any]:
        """The contract as JSON values; `from_json` reads them without MLflow."""
        profile = self.profile.to_json() if self.profile else None
        dtypes = {name: asdict(dtype) for name, dtype in self.dtypes.items()}
        return {"signature": dict(self.document), "profile": profile, "dtypes": dtypes}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Contract":
        """Read what `to_json` gave."""
        profile = document["profile"]
        dtypes = {name: Dtype.from_json(dtype) for name, dtype in document["dtypes"].items()}
        return cls.read(document["signature"], Profile.from_json(profile) if profile else None, dtypes)

    @property
    def image(self) -> ImageInput | None:
        """What pictures it takes; None for a model of anything else."""
        return self.profile.image if self.profile else None

    @property
    def takes_tables(self) -> bool:
        """Whether its rows have columns, as those of a table do; a tensor has none."""
        return self.signature.tensor is None

    @property
    def times(self) -> set[str]:
        """Names of the columns of times."""
        return {column.name for column in self.signature.columns if column.kind.name == "datetime"}

    def check_rows(self, rows: Sequence[Any], extra: Extra = "refuse") -> Checked:
        """Check decoded JSON rows: objects by column, or lists for a tensor and for columns without names."""
        if self.signature.tensor is not None:
            return check_tensor(self.signature.tensor, rows)
        return check_columns(self.signature, rows, extra)

    def check(self, table: "pa.Table", extra: Extra = "refuse") -> Checked:
        """Check a table, column by column.

        Raises:
            ColumnsMissing: The table lacks a column that the signature requires.
            ColumnsUnknown: It has one that the signature lacks, and `extra` is "refuse".
            ColumnsRepeated: It has one that the signature has more than once.
            SignatureError: The model takes a tensor, which a table has no column for.
        """
        from trifold.contract.tables import check_table  # Arrow is imported only where there is a table

        return check_table(self.signature, table, extra)

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters with their defaults filled in.

        Raises:
            ParamsRefused: One is unknown or of another type.
        """
        known, rejects = self.signature.params, []
        for name in params:
            if name not in known:
                words = f"one of {', '.join(known)}" if known else "no parameters"
                rejects.append(Reject(None, name, "param", words, text(params[name])))
        values = {name: _default(param) for name, param in known.items()}
        for name, param in known.items():
            if name in params:
                try:
                    values[name] = _read_param(param, params[name])
                except Invalid as error:
                    rejects.append(Reject(None, name, "param", error.expected, text(params[name])))
        if rejects:
            raise ParamsRefused(rejects)
        return values

    def to_rows(self, rows: Rows) -> list[Any]:
        """Rows as JSON values that `check_rows` accepts again."""
        if rows.matrix is not None and self.signature.tensor is not None:
            return list(_without_nan(rows.matrix).tolist())
        columns = [
            [_write(column, value) for value in array]
            for column, array in zip(self.signature.columns, self._arrays(rows), strict=True)
        ]
        if not self.signature.named:
            return [list(values) if len(values) > 1 else values[0] for values in zip(*columns, strict=True)]
        names = [column.name for column in self.signature.columns]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

    def _arrays(self, rows: Rows) -> Iterable[Array]:
        return rows.columns.values() if rows.columns is not None else list(np.asarray(rows.matrix).T)


def _without_nan(matrix: Array) -> Array:
    missing = matrix != matrix
    if not missing.any():
        return matrix
    objects = matrix.astype(object)
    objects[missing] = None
    return objects


def _write(column: Column, value: Any) -> Any:
    if column.depth and value is not None:
        inner = Column(column.name, column.kind, True, column.depth - 1, column.label)
        return [_write(inner, item) for item in value]
    if value is None or value != value:  # NaN and NaT are not equal to themselves
        return None
    return column.kind.write(value)


def _default(param: Param) -> Any:
    """The default as a request's value would be read; MLflow writes those of times as text."""
    return _read_param(param, param.default) if param.kind.name == "datetime" else param.default


def _read_param(param: Param, value: Any) -> Any:
    if not param.is_list:
        return param.kind.read(value)
    if type(value) is not list:
        raise Invalid("type", f"a list, each {param.kind.expected}")
    return [param.kind.read(item) for item in value]
