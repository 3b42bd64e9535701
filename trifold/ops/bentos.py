"""Make a BentoML model and its Bento in the store that BENTOML_HOME names.

A process of its own, `python -m trifold.ops.bentos` with an order in JSON on standard input: BentoML reads its home
once, copies into its store file by file, and leaves the service that it builds among the imported modules.
"""

import json
import os
import shutil
import sys

import bentoml


def main() -> None:
    """Carry out the order: tag, digest, packed (the packed model's folder) and options of `bentoml.build`."""
    order = json.load(sys.stdin)
    with bentoml.models.create(order["tag"], labels={"digest": order["digest"]}) as model:
        shutil.copytree(order["packed"], model.path, dirs_exist_ok=True)
    os.chdir(order["options"]["build_ctx"])  # BentoML reads no file from elsewhere
    bentoml.build(**order["options"])


if __name__ == "__main__":
    try:
        main()
    except bentoml.exceptions.BentoMLException as error:
        sys.exit(" ".join(str(error).split()))  # of several lines, of which the caller passes on the last
