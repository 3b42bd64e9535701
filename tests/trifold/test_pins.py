"""Pins: every file of an artifact that names a package is read, and none is passed over in silence."""

import pytest

from trifold.errors import ArtifactError
from trifold.ops import pins
from trifold.ops.conda import read as read_conda

FITTED = {"sklearn": {"sklearn_version": "1.5.2"}, "python_function": {"python_version": "3.10.4"}}
CONDA = """
dependencies:
- python=3.10.4
- pip
- pip:
  - mlflow==2.20.0
  - scikit-learn==1.5.2
  - numpy==1.26.4
  - pandas==2.2.3
"""


def read(folder, flavors=FITTED, **files):
    """The pins of an artifact with these files; a _ in a name stands for its dot."""
    for name, text in files.items():
        (folder / name.replace("_txt", ".txt").replace("_yaml", ".yaml")).write_text(text)
    return pins.read(folder, flavors)


def test_a_conda_yaml_alone_pins(tmp_path):
    """Artifacts of old MLflow versions have nothing else; they got the newest packages, and check said yes."""
    found = read(tmp_path, conda_yaml=CONDA)
    assert found.texts == ["mlflow==2.20.0", "scikit-learn==1.5.2", "numpy==1.26.4", "pandas==2.2.3"]
    assert found.python == "3.10.4"
    assert found.loose == ("scipy",)
    assert found.clashes == ()


def test_what_conda_installs_itself_pins_too(tmp_path):
    """A conda environment names scikit-learn outside of its pip section."""
    text = """
dependencies:
- python=3.10
- conda-forge::scikit-learn=1.5.2=py310h1128e8f_1
- numpy 1.26.4
- scipy=1.13
- pandas>=2.2,<2.3
- pip: [mlflow]
"""
    found = read(tmp_path, {}, conda_yaml=text)
    assert found.texts == [
        "mlflow", "scikit-learn==1.5.2", "numpy==1.26.4", "scipy==1.13.*", "pandas>=2.2,<2.3",
    ]  # fmt: skip
    assert found.python == "3.10"
    assert found.loose == ("scipy", "pandas")


def test_conda_yaml_beside_requirements_adds_what_these_lack(tmp_path):
    """MLflow writes a conda environment's pip lines to requirements.txt, and conda's own lines nowhere else."""
    text = "dependencies: [scikit-learn=1.5.2, 'numpy=1.26.4', {pip: [imbalanced-learn==0.12.4]}]"
    found = read(tmp_path, {}, conda_yaml=text, requirements_txt="imbalanced-learn==0.12.4\n")
    assert found.texts == ["imbalanced-learn==0.12.4", "scikit-learn==1.5.2", "numpy==1.26.4"]
    assert found.extras == ("imbalanced-learn==0.12.4",)


def test_packages_that_only_conda_has_are_named(tmp_path):
    """No index need have them by that name, and by somebody else's hand it may have another."""
    text = "dependencies: [python=3.11, pip, libblas=3.9.0, my-own-package=1.0, {pip: [scikit-learn==1.5.2]}]"
    assert read(tmp_path, conda_yaml=text).unknown == ("libblas", "my-own-package")


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ("scikit-learn=1.5.2", "scikit-learn==1.5.2"),
        ("scikit-learn=1.5", "scikit-learn==1.5.*"),
        ("scikit-learn==1.5", "scikit-learn==1.5"),
        ("scikit-learn=1.5.*", "scikit-learn==1.5.*"),
        ("conda-forge::scikit-learn=1.5.2=py310_1", "scikit-learn==1.5.2"),
        ("scikit-learn 1.5.2 py310_1", "scikit-learn==1.5.2"),
        ("scikit-learn >=1.3,<2", "scikit-learn>=1.3,<2"),
        ("scikit-learn[version='>=1.3']", "scikit-learn"),
        ("scikit-learn", "scikit-learn"),
    ],
)
def test_condas_way_to_write_a_version_is_read(line, own):
    """One = is not two: of a whole version it means that one, of a part of one any that begins so."""
    assert read_conda({"dependencies": [line]}).own == (own,)


def test_python_env_yaml_lists_or_includes(tmp_path):
    """It mostly says -r requirements.txt, which may be gone; then what it lists itself counts, or conda.yaml."""
    found = read(
        tmp_path, {}, python_env_yaml="python: 3.9.18\ndependencies: [-r requirements.txt, numpy==1.26.4]",
        conda_yaml=CONDA,
    )  # fmt: skip
    assert "numpy==1.26.4" in found.texts
    assert found.python == "3.9.18"
    (tmp_path / "python_env.yaml").write_text("dependencies: [-r requirements.txt]")
    assert "pandas==2.2.3" in read(tmp_path).texts


@pytest.mark.parametrize("asked", ["scikit-learn", "scikit-learn>=1.3,<2", "scikit_learn~=1.5.0"])
def test_mlmodel_says_which_scikit_learn_a_range_means(tmp_path, asked):
    """A range resolves to the newest although MLmodel says which version fitted the model."""
    found = read(tmp_path, requirements_txt=f"{asked}\nnumpy==1.26.4\n")
    assert found.texts[0].endswith("==1.5.2")
    assert found.clashes == ()


def test_mlmodel_gives_a_scikit_learn_that_nobody_lists(tmp_path):
    """The server's own scikit-learn>=1.5 would be the newest."""
    assert "scikit-learn==1.5.2" in read(tmp_path, requirements_txt="numpy==1.26.4\n").texts
    assert read(tmp_path / ".", {}, requirements_txt="numpy==1.26.4\n").loose == ("scikit-learn", "scipy", "pandas")


@pytest.mark.parametrize("version", ["1.6.dev0", "1.5.2+local", "unknown"])
def test_a_scikit_learn_that_no_index_has_is_not_asked_for(tmp_path, version):
    """A checkout's version would be a conflict that nobody can mend."""
    assert read(tmp_path, {"sklearn": {"sklearn_version": version}}).texts == []


@pytest.mark.parametrize("asked", ["scikit-learn==1.6.1", "scikit-learn>=1.6"])
def test_files_that_disagree_are_told(tmp_path, asked):
    """What MLflow itself would install wins, and it is said that it is not what fitted the model."""
    found = read(tmp_path, requirements_txt=f"{asked}\n")
    assert found.texts == [asked]
    [clash] = found.clashes
    assert (clash.taken.text, clash.taken.source) == (asked, "requirements.txt")
    assert (clash.other.version, clash.other.source) == ("1.5.2", "MLmodel")


def test_a_line_for_another_system_pins_nothing(tmp_path):
    """numpy==1.0 for Windows says nothing of the image's numpy."""
    found = read(tmp_path, requirements_txt="numpy==1.0 ; sys_platform == 'win32'\nnumpy\n", conda_yaml=CONDA)
    assert "numpy==1.26.4" in found.texts
    assert "numpy==1.0 ; sys_platform == 'win32'" in found.texts


def test_constraints_includes_hashes_and_comments_are_read_as_pip_does(tmp_path):
    """MLflow writes -c constraints.txt by itself; it was refused as a package without a version."""
    (tmp_path / "constraints.txt").write_text("scipy==1.13.1  # why\n")
    (tmp_path / "more.txt").write_text("pandas==2.2.3\n-r requirements.txt\n")
    pinned = "numpy==1.26.4 \\\n    --hash=sha256:abc \\\n    --hash=sha256:def\n"
    found = read(tmp_path, requirements_txt=f"\ufeff# a comment\n-c constraints.txt\n-r more.txt\n{pinned}")
    assert found.texts == ["pandas==2.2.3", "numpy==1.26.4", "scikit-learn==1.5.2"]
    assert found.constraints == ("scipy==1.13.1",)
    assert found.loose == ()


def test_a_file_outside_of_the_artifact_is_not_read(tmp_path):
    """An artifact may be anybody's."""
    with pytest.raises(ArtifactError, match="outside"):
        read(tmp_path, requirements_txt="-r ../../secret.txt\n")


@pytest.mark.parametrize("name", ["conda_yaml", "python_env_yaml"])
def test_a_damaged_file_is_one_sentence(tmp_path, name):
    """An artifact that was edited by hand must not end in a traceback."""
    with pytest.raises(ArtifactError, match="cannot be read"):
        read(tmp_path, **{name: "a: [b"})
