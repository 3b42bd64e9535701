"""Make a committed run's report and keep it in MLflow, once; a report that lacks is made without scoring again."""

from collections.abc import Mapping
from dataclasses import dataclass

from trifold.batch.bins import Bins
from trifold.batch.job import Job
from trifold.batch.report import Report, metrics, render
from trifold.batch.slots import slot_text
from trifold.batch.statistics import merged, merged_top
from trifold.batch.store import Counts, Run, Store
from trifold.batch.tracking import Tracking
from trifold.errors import TrifoldError
from trifold.failpoints import reach
from trifold.model import Model
from trifold.packed import Packed

FILE = "report.html"
RUN = "trifold.run"
"""The tag of MLflow's run that names ours."""
MOST_FORECAST = 60


@dataclass(frozen=True, eq=False)
class Reports:
    """What keeps reports.

    Attributes:
        job: Whose.
        packed: What the model says of itself.
        model: The model.
        bins: How it was counted.
        environment: Where MLflow is: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and how to log in.
    """

    job: Job
    packed: Packed
    model: Model
    bins: Bins
    environment: Mapping[str, str]

    def keep(self, store: Store, run: Run) -> None:
        """Keep the report of a committed run; what goes wrong is said, since the predictions are there already."""
        tracking = Tracking(self.environment)
        if not tracking.address:
            return
        try:
            report = self._report(store, run)
            page = render(report)
            reach("report-rendered")
            experiment = tracking.experiment(self.environment.get("MLFLOW_EXPERIMENT_NAME") or report.release)
            name = f"{report.release}/{run.job}/{slot_text(run.slot)}"
            whole = f"{name}/{run.run}"
            found = tracking.find(experiment, RUN, whole) or tracking.log(
                experiment,
                name,
                tags={RUN: whole, **self._tags(report)},
                metrics=metrics(report),
                files={FILE: page.encode()},
            )
            reach("report-kept")
            store.keep_report(run, found)
            print(f"report: {tracking.address}/#/experiments/{experiment}/runs/{found}/artifacts", flush=True)
        except TrifoldError as error:
            print(f"the report is missing, and the next run makes it: {error}", flush=True)

    def _report(self, store: Store, run: Run) -> Report:
        reach("before-report")
        shards = store.counts(run)
        profile = self.model.contract.profile
        window = self.job.window(run.slot)
        rejects = sum(shard.rejects for shard in shards)
        return Report(
            title=self.packed.title,
            description=self.packed.about,
            note=profile.note if profile else None,
            unit=profile.unit if profile else None,
            model=self.packed.name,
            version=self.packed.version,
            digest=self.packed.digest,
            run_id=self.packed.run_id,
            release=self.environment.get("TRIFOLD_RELEASE") or self.packed.name,
            job=run.job,
            slot=run.slot,
            window=window,
            time_zone=self.job.schedule.time_zone,
            shards=run.shards,
            rows=sum(shard.rows for shard in shards) - rejects,
            rejects=rejects,
            seconds=max((shard.seconds for shard in shards), default=0.0),
            statistics=merged(shard.statistics for shard in shards),
            bins=self.bins,
            key=self.job.key,
            rejects_by=store.rejects(run),
            top=_top(shards, self.job.top),
            history=store.history(window) if self.job.history else (),
            forecast=self._forecast(store, run) if self.job.history else (),
        )

    def _forecast(self, store: Store, run: Run) -> list[tuple[str, float, float | None, float | None]]:
        """Predictions with their interval; none of what is no number."""
        width = self._half_width
        return [
            (key, value, None if width is None else value - width, None if width is None else value + width)
            for key, value, _ in store.predictions(run, MOST_FORECAST)
            if isinstance(value, float)
        ]

    @property
    def _half_width(self) -> float | None:
        """Half width of the model's interval."""
        profile = self.model.contract.profile
        return profile.interval if profile else None

    def _tags(self, report: Report) -> dict[str, str]:
        return {
            "trifold.release": report.release,
            "trifold.job": report.job,
            "trifold.slot": slot_text(report.slot),
            "trifold.model": f"{report.model}/{report.version}",
            "trifold.digest": report.digest,
        }


def _top(shards: list[Counts], most: int) -> list[dict[str, object]]:
    return merged_top((shard.top for shard in shards), most)
