"""Contract of model bundles: what is saved comes back, and whatever differs is refused by name."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import skops.io
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from detector.config import ROOT
from detector.errors import SnapshotError
from detector.features.catalogue import NAMES
from detector.verdict.archive import archive
from detector.verdict.bundle import MANIFEST, MODEL, REFERENCE, TREES, read_estimator, read_trees, save_bundle
from detector.verdict.manifest import Calibration, Data, Manifest, Thresholds
from detector.verdict.model import Model
from detector.verdict.nodes import take_nodes
from tests.verdict import models


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle that a test may spoil."""
    return shutil.copytree(bundle, tmp_path / "copy")


@pytest.fixture
def treeless(copy: Path) -> Path:
    """A bundle whose estimator is what it is scored with: its trees are not written out."""
    (copy / TREES).unlink()
    edit(copy, lambda manifest: manifest["files"].pop(TREES))
    return copy


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest of the bundle in `path`."""
    manifest = json.loads((path / MANIFEST).read_bytes())
    change(manifest)
    (path / MANIFEST).write_text(json.dumps(manifest))


def replace_file(path: Path, name: str, content: bytes) -> None:
    """Put another file in a bundle, with a manifest that vouches for it."""
    (path / name).write_bytes(content)
    edit(path, lambda manifest: manifest["files"].update({name: sha256(content).hexdigest()}))


def test_a_saved_bundle_loads_with_the_margins_of_its_estimator(model: Model) -> None:
    """Through the file, the kernel still gives scikit-learn's own margins."""
    vectors, _ = models.samples(200, seed=9)
    assert (models.fitted().decision_function(vectors) == model.margins(vectors)).all()
    assert (101, len(NAMES)) == model.quantiles.shape
    assert (model.quantiles[50] == model.medians).all()
    assert not model.simulated
    assert model.activity_floor == 5
    assert model.warnings == ()
    assert model.version.startswith("tiny-")
    assert tuple(NAMES) == model.names


def test_the_same_fit_saved_twice_gives_the_same_bytes(tmp_path: Path, bundle: Path) -> None:
    """A rebuilt bundle can be compared with the shipped one by its hash."""
    models.save(tmp_path, models.fitted())
    for name in (MODEL, TREES, REFERENCE, MANIFEST):
        assert (bundle / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_display_rises_with_the_margin_from_0_to_1(model: Model) -> None:
    """Calibration never reorders numbers."""
    shown = model.display(np.array([-1e9, -2.0, 0.0, 2.0, 1e9]))
    assert shown[0] == 0
    assert shown[-1] == 1
    assert (np.diff(shown) > 0).all()


def test_a_logistic_regression_is_scored_by_its_own_decision_function(tmp_path: Path) -> None:
    """A vector at a time, so that its margin does not depend on the batch."""
    vectors, fraud = models.samples(500)
    estimator = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(vectors, fraud)
    models.save(tmp_path, estimator)
    model = Model.load(tmp_path)
    margins = model.margins(vectors[:50])
    assert np.allclose(estimator.decision_function(vectors[:50]), margins)
    assert margins.tobytes() == np.concatenate([model.margins(vectors[:3]), model.margins(vectors[3:50])]).tobytes()


def test_a_bundle_without_its_trees_written_out_gives_the_same_margins(treeless: Path, model: Model) -> None:
    """One written before there were such files: they are taken from the estimator."""
    vectors, _ = models.samples(200, seed=9)
    assert model.margins(vectors).tobytes() == Model.load(treeless).margins(vectors).tobytes()


def test_the_shipped_trees_are_those_of_the_shipped_estimator() -> None:
    """What a data scientist reads is what decides."""
    shipped = Path(ROOT, "models", "default")
    trees = take_nodes(read_estimator(shipped))
    assert trees is not None
    assert trees.dump() == read_trees(shipped).dump()


def test_the_shipped_manifest_is_written_again_to_the_byte() -> None:
    """No field of it is one that this program does not know, or would leave out."""
    path = Path(ROOT, "models", "default", MANIFEST)
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    assert manifest.fit is not None
    assert manifest.fit.split["by"] == "table"
    assert msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n" == path.read_bytes()


def test_a_bundle_of_other_features_loads_only_where_they_are_asked_for(tmp_path: Path) -> None:
    """The service would compute others; a changed list is noticed by its hash."""
    vectors, fraud = models.samples(300)
    names = tuple(f"own_{i}" for i in range(5))
    estimator = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(vectors[:, :5], fraud)
    save_bundle(
        tmp_path,
        estimator,
        name="own",
        data=Data(kind="real", first_ms=0, last_ms=1, numbers=300, vectors=300, prevalence=0.3, seed=0),
        metrics={},
        thresholds=Thresholds(watch=0, flag=1, block=2),
        activity_floor=0,
        calibration=Calibration(a=1, b=0),
        honest_quantiles=np.zeros((101, 5)),
        golden=vectors[:3, :5],
        features=names,
    )
    assert Model.load(tmp_path, any_features=True).names == names
    with pytest.raises(SnapshotError, match=r"features\[0\]: the catalogue wants 'calls_out_5m' \(got 'own_0'\)"):
        Model.load(tmp_path)
    edit(tmp_path, lambda m: m["features"].__setitem__(1, "own_9"))
    with pytest.raises(SnapshotError, match=r"feature_hash"):
        Model.load(tmp_path, any_features=True)


def test_scoring_needs_no_scikit_learn() -> None:
    """Importing it is most of the time that a worker would take to be back after its death."""
    code = (
        "import sys; from pathlib import Path; import detector.service.detect;"
        "from detector.verdict.model import Model; Model.load(Path(sys.argv[1]));"
        "print({'sklearn', 'skops'} & sys.modules.keys())"
    )
    shipped = str(Path(ROOT, "models", "default"))
    ran = subprocess.run([sys.executable, "-c", code, shipped], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_an_empty_batch_has_no_margins(model: Model) -> None:
    """Nothing was scored."""
    assert model.margins(np.empty((0, len(NAMES)))).shape == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.update(feature_hash="0" * 16),
            r"manifest.json: feature_hash: the catalogue's is .* \(got 0{16}\)",
        ),
        (
            lambda m: m["features"].__setitem__(3, "calls_out_9d"),
            r"features\[3\]: the catalogue wants .*got 'calls_out_9d'",
        ),
        (lambda m: m["features"].pop(), r"features: the catalogue wants 60 \(got 59\)"),
        (
            lambda m: m["golden"]["margins"].__setitem__(1, 0.25),
            r"trees.npz: golden vector 1: wanted margin .*0.25.* \(got",
        ),
        (lambda m: m["golden"]["margins"].pop(), r"golden: wanted a margin per vector"),
        (lambda m: m["files"].update({MODEL: "ab"}), r"model.skops: wanted SHA-256 ab \(got [0-9a-f]{64}\)"),
        (
            lambda m: m["files"].pop(REFERENCE),
            r"files: wanted model.skops and reference.npz, .* \(got \['model.skops', 'trees.npz'\]\)",
        ),
        (lambda m: m["thresholds"].update(watch=1e9), r"thresholds: wanted watch <= flag <= block"),
        (lambda m: m["data"].update(kind="made up"), r"manifest.json: .*data.kind"),
        (lambda m: m.update(extra=1), r"manifest.json: .*unknown field `extra`"),
        (lambda m: m.pop("golden"), r"manifest.json: .*missing required field `golden`"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(copy: Path, change: Callable[[Any], object], message: str) -> None:
    """The message names file, what was wanted and what was got."""
    edit(copy, change)
    with pytest.raises(SnapshotError, match=message):
        Model.load(copy)


def test_a_changed_file_is_refused(copy: Path) -> None:
    """Its hash differs from the manifest's."""
    (copy / REFERENCE).write_bytes((copy / REFERENCE).read_bytes() + b"\0")
    with pytest.raises(SnapshotError, match=r"reference.npz: wanted SHA-256 .*not the file that was saved"):
        Model.load(copy)


@pytest.mark.parametrize("name", [MODEL, TREES, REFERENCE, MANIFEST])
def test_a_missing_file_is_refused(copy: Path, name: str) -> None:
    """The message names it."""
    (copy / name).unlink()
    with pytest.raises(SnapshotError, match=rf"{name}: wanted a readable file \(got No such file"):
        Model.load(copy)


def test_a_type_outside_the_list_is_refused_before_it_is_built(treeless: Path) -> None:
    """Even one that skops itself would trust."""
    vectors, fraud = models.samples(100)
    replace_file(treeless, MODEL, skops.io.dumps(GaussianNB().fit(np.nan_to_num(vectors), fraud)))
    with pytest.raises(
        SnapshotError, match=r"model.skops: wanted only types of the allow-list \(got sklearn.naive_bayes.GaussianNB"
    ):
        Model.load(treeless)


def test_a_file_that_calls_a_function_is_refused(treeless: Path) -> None:
    """A node that names a function to call is no data, whatever its type says."""
    schema = {"__class__": "dict", "__module__": "builtins", "__loader__": "FunctionNode", "content": "os.system"}
    replace_file(treeless, MODEL, archive({"schema.json": json.dumps(schema).encode()}))
    with pytest.raises(SnapshotError, match=r"wanted only types of the allow-list \(got FunctionNode\)"):
        Model.load(treeless)


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04noise", archive({"other.json": b"{}"}), archive({"schema.json": b"{"})]
)
def test_a_file_that_is_no_skops_file_is_refused(treeless: Path, content: bytes) -> None:
    """Noise, an empty file, another archive."""
    replace_file(treeless, MODEL, content)
    with pytest.raises(SnapshotError, match=r"model.skops: wanted a skops file"):
        Model.load(treeless)


def test_reference_arrays_of_another_shape_are_refused(copy: Path) -> None:
    """Percentiles are looked up by feature position."""
    np.savez(copy / REFERENCE, quantiles=np.zeros((101, 3)), medians=np.zeros(60))
    replace_file(copy, REFERENCE, (copy / REFERENCE).read_bytes())
    with pytest.raises(
        SnapshotError, match=r"reference.npz: quantiles: wanted f64\[101, 60\] \(got float64\[101, 3\]\)"
    ):
        Model.load(copy)


def test_another_scikit_learn_is_a_warning_while_the_golden_margins_hold(copy: Path) -> None:
    """Margins decide; the version only explains."""
    edit(copy, lambda m: m["versions"].update(scikit_learn="0.1.2"))
    assert len(Model.load(copy).warnings) == 1
    assert "scikit-learn: written with 0.1.2, running " in Model.load(copy).warnings[0]


def test_another_scikit_learn_is_named_when_a_golden_margin_fails(copy: Path) -> None:
    """So the reader sees the likely cause."""
    edit(copy, lambda m: (m["versions"].update(scikit_learn="0.1.2"), m["golden"]["margins"].__setitem__(0, 9.0)))
    with pytest.raises(SnapshotError, match=r"golden vector 0: wanted margin .*; scikit-learn: written with 0.1.2"):
        Model.load(copy)


def test_golden_vectors_must_be_writable_in_json(tmp_path: Path) -> None:
    """Infinity has no JSON form; an unchecked bundle is not saved."""
    with pytest.raises(ValueError, match="golden: wanted at least one vector"):
        save_bundle(
            tmp_path,
            models.fitted(trees=2),
            name="x",
            data=Data(kind="real", first_ms=0, last_ms=1, numbers=1, vectors=1, prevalence=0.0, seed=0),
            metrics={},
            thresholds=Thresholds(watch=0, flag=1, block=2),
            activity_floor=0,
            calibration=Calibration(a=1, b=0),
            honest_quantiles=np.zeros((101, len(NAMES))),
            golden=np.full((1, len(NAMES)), np.inf),
        )
