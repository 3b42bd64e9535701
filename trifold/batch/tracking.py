"""MLflow's REST API as far as a report needs it: a run with metrics, tags and one artifact; the image has no MLflow.

Source: https://mlflow.org/docs/latest/rest-api.html
"""

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from trifold.errors import Unavailable, first_line

SECONDS = 20
MOST_METRICS = 500
"""In one request, by MLflow's limit of 1,000."""
MOST_TAG = 5000
PROXY = "mlflow-artifacts:"


class Tracking:
    """An MLflow tracking server.

    Attributes:
        address: Such as http://mlflow.platform:5000.
        headers: With a user and password or a token, if MLflow asks for them.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.address = environment.get("MLFLOW_TRACKING_URI", "").rstrip("/")
        self.headers = _authorization(environment)
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def experiment(self, name: str) -> str:
        """The experiment's id; made if it is not there.

        Raises:
            Unavailable: MLflow does not answer, or refuses.
        """
        query = urllib.parse.urlencode({"experiment_name": name})
        found = self._ask("GET", f"experiments/get-by-name?{query}", missing=True)
        if found is None:
            try:
                return str(self._ask("POST", "experiments/create", {"name": name})["experiment_id"])
            except Unavailable:  # another shard or job was faster
                found = self._ask("GET", f"experiments/get-by-name?{query}")
        return str(found["experiment"]["experiment_id"])

    def find(self, experiment: str, tag: str, value: str) -> str | None:
        """The newest finished run that carries a tag."""
        wanted = f"tags.`{tag}` = '{value}' and attributes.status = 'FINISHED'"
        body = {"experiment_ids": [experiment], "filter": wanted, "max_results": 1}
        runs = self._ask("POST", "runs/search", body).get("runs") or []
        return str(runs[0]["info"]["run_id"]) if runs else None

    def log(
        self,
        experiment: str,
        name: str,
        *,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
        files: Mapping[str, bytes],
    ) -> str:
        """A finished run with tags, metrics and files; gives its id.

        Raises:
            Unavailable: MLflow does not answer, or keeps its artifacts where this process cannot write.
        """
        now = int(time.time() * 1000)
        named = [{"key": key, "value": value[:MOST_TAG]} for key, value in tags.items()]
        body = {"experiment_id": experiment, "run_name": name, "start_time": now, "tags": named}
        info = self._ask("POST", "runs/create", body)["run"]["info"]
        run = str(info["run_id"])
        entries = [{"key": key, "value": value, "timestamp": now, "step": 0} for key, value in metrics.items()]
        for start in range(0, len(entries), MOST_METRICS):
            self._ask("POST", "runs/log-batch", {"run_id": run, "metrics": entries[start : start + MOST_METRICS]})
        for file, content in files.items():
            self._upload(str(info["artifact_uri"]), file, content)
        self._ask("POST", "runs/update", {"run_id": run, "status": "FINISHED", "end_time": int(time.time() * 1000)})
        return run

    def _upload(self, uri: str, file: str, content: bytes) -> None:
        if not uri.startswith(PROXY):
            _write(uri, file, content)
            return
        path = urllib.parse.urlsplit(uri).path.strip("/")
        self._send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{urllib.parse.quote(f'{path}/{file}')}", content)

    def _ask(self, method: str, path: str, body: Any = None, *, missing: bool = False) -> Any:
        content = None if body is None else json.dumps(body).encode()
        said = self._send(method, f"/api/2.0/mlflow/{path}", content, missing=missing)
        return None if said is None else json.loads(said or b"{}")

    def _send(self, method: str, path: str, content: bytes | None, *, missing: bool = False) -> bytes | None:
        headers = {**self.headers, "Content-Type": "application/json" if "/artifacts/" not in path else "text/html"}
        request = urllib.request.Request(self.address + path, content, headers, method=method)  # noqa: S310 - the chart's
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if missing and error.code == 404:
                return None
            said = error.read(300).decode(errors="replace")
            raise Unavailable(f"MLflow at {self.address} answers {error.code}: {said}") from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"MLflow at {self.address} does not answer: {first_line(error)}.") from None


def _write(uri: str, file: str, content: bytes) -> None:
    """Write an artifact where MLflow keeps it, if that is a storage that Arrow knows, such as s3."""
    from pyarrow import fs

    try:
        system, path = fs.FileSystem.from_uri(uri)
        if isinstance(system, fs.LocalFileSystem):
            raise Unavailable(
                f"MLflow keeps its artifacts in a folder of its own machine, {uri}; start it with --serve-artifacts."
            )
        with system.open_output_stream(f"{path}/{file}") as out:
            out.write(content)
    except (OSError, ValueError) as error:
        raise Unavailable(f"The report could not be written to {uri}: {first_line(error)}.") from None


def _authorization(environment: Mapping[str, str]) -> dict[str, str]:
    token = environment.get("MLFLOW_TRACKING_TOKEN")
    if token:
        return {"Authorization": f"Bearer {token}"}
    user, password = (environment.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
    if not user:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
