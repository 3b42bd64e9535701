"""Where a Bento keeps its packed model."""

import os
from pathlib import Path

import yaml

from trifold.errors import ArtifactError


def packed_model(bento: Path | None = None) -> Path:
    """The packed model of the Bento that this code runs in.

    A Bento lists its models in bento.yaml; their folders are beside it in an image, and in BentoML's store otherwise.

    Raises:
        ArtifactError: This code runs in no Bento, or the model's folder is gone.
    """
    bento = bento or Path(__file__).resolve().parents[2]
    file = bento / "bento.yaml"
    if not file.is_file():
        raise ArtifactError("No model to serve: set TRIFOLD_MODEL to a packed model's folder, or use `trifold serve`.")
    tag = str(yaml.safe_load(file.read_text())["models"][0]["tag"])
    name, version = tag.split(":")
    stores = (bento / "models", Path(os.environ.get("BENTOML_HOME", Path.home() / "bentoml")) / "models")
    for store in stores:
        if (store / name / version).is_dir():
            return store / name / version
    raise ArtifactError(f"The Bento's model {tag} is not in its store; build it again with `trifold build`.")
