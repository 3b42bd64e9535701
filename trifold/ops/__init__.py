"""What never enters an image: registry, check, build, serve on this machine, the command line."""

import os

# Nothing that Trifold does on a user's machine is reported to anybody. MLflow and BentoML read these when imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
