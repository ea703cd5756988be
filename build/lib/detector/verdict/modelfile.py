"""Model file: an estimator in skops' format, from known types only, and always the same bytes.

estimator -> skops -> counted ids, fixed times -> bytes
bytes -> every named type checked against the list -> estimator
"""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sklearn
import skops.io

from detector.errors import SnapshotError
from detector.verdict.archive import archive

ALLOWED: Final = frozenset(
    {
        "builtins.dict",
        "builtins.list",
        "builtins.str",
        "builtins.tuple",
        "numpy.dtype",
        "numpy.float64",
        "numpy.int64",
        "numpy.ndarray",
        "numpy.random._generator.Generator",
        "numpy.uint64",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.impute._base.SimpleImputer",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.preprocessing._label.LabelEncoder",
    }
)
"""What a model file may be made of: boosted trees, or a logistic regression behind imputation
and scaling. A model file is data from elsewhere; nothing outside this list is ever built."""

LOADERS: Final = frozenset(
    {
        "DTypeNode",
        "DictNode",
        "JsonNode",
        "ListNode",
        "LossNode",
        "NdArrayNode",
        "ObjectNode",
        "RandomGeneratorNode",
        "TupleNode",
        "TypeNode",
    }
)
"""The ways of building a value that may occur: none of them calls a function that the file names."""


def dump_estimator(estimator: Any) -> bytes:
    """The file of a fitted estimator; equal estimators give equal bytes. `SnapshotError` as in `load_estimator`."""
    data = _canonical(skops.io.dumps(estimator))
    _refuse_types(data, "the estimator")
    return data


def load_estimator(data: bytes, where: str) -> Any:
    """The estimator of the file `where`; `SnapshotError` when it names anything outside `ALLOWED`."""
    _refuse_types(data, where)
    try:
        return skops.io.loads(data, trusted=sorted(ALLOWED))
    except Exception as error:  # whatever another scikit-learn's classes raise when they meet this state
        raise SnapshotError(f"{where}: scikit-learn {sklearn.__version__} cannot rebuild it ({error})") from error


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a skops schema, in the order of the file."""
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _refuse_types(data: bytes, where: str) -> None:
    """Raises `SnapshotError` unless the skops file names only what `ALLOWED` and `LOADERS` list."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            schema = json.loads(file.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise SnapshotError(f"{where}: wanted a skops file (got {error})") from error
    found = {
        f"{node.get('__module__')}.{node.get('__class__')}" if node["__loader__"] in LOADERS else node["__loader__"]
        for node in _nodes(schema)
        if "__loader__" in node
    }
    if found - ALLOWED:
        raise SnapshotError(f"{where}: wanted only types of the allow-list (got {', '.join(sorted(found - ALLOWED))})")


def _canonical(data: bytes) -> bytes:
    """A skops file whose ids and file names are counted from 0 instead of being memory addresses."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    schema = json.loads(entries.pop("schema.json"))
    names: dict[str, str] = {}
    for i, node in enumerate(node for node in _nodes(schema) if "__id__" in node):
        node["__id__"] = i
        if "file" in node:
            old = node["file"]
            node["file"] = names.setdefault(old, f"{len(names)}{Path(old).suffix}")
    files = {new: entries[old] for old, new in names.items()}
    return archive({"schema.json": json.dumps(schema, indent=1).encode(), **files})
