"""What must be true of the Jobs and CronJobs of a render."""

from tests.charts.objects import job, of_kind, where


def made(cron_job):
    """The longest names that Kubernetes makes of a CronJob's: of a Job, with the minutes, and of its last pod's host.

    A CronJob's own name has 11 characters less than others: the API server refuses it else.
    """
    name, last = cron_job["metadata"]["name"], job(cron_job).get("completions", 1) - 1
    return f"{name}-{'0' * 10}", f"{name}-{'0' * 8}-{last}"


def ending(objects):
    """A Job ends: time and tries are limited, and nothing but its own policy says what is tried again."""
    for item in of_kind(objects, "Job", "CronJob"):
        spec = job(item)
        if spec["template"]["spec"].get("restartPolicy") != "Never":
            yield f"{where(item)} restarts containers beside its own policy"
        if "activeDeadlineSeconds" not in spec or not {"backoffLimit", "backoffLimitPerIndex"} & set(spec):
            yield f"{where(item)} may go on for ever"
        first, *others = spec.get("podFailurePolicy", {}).get("rules") or [{}]
        if (first.get("action"), [on["type"] for on in first.get("onPodConditions", [])]) != (
            "Ignore",
            ["DisruptionTarget"],
        ):
            yield f"{where(item)} blames its pods for a node that was lost"
        names = {container["name"] for container in spec["template"]["spec"]["containers"]}
        codes = [code for rule in others for code in rule["onExitCodes"]["values"]]
        if len(codes) != len(set(codes)) or 0 in codes:
            yield f"{where(item)} has two answers to an exit code: {codes}"
        if any(rule["onExitCodes"].get("containerName") not in names for rule in others):
            yield f"{where(item)} looks at the exit of a container that is not there"


def scheduled(objects):
    """A slot has one Job at a time, a late start and old Jobs have limits, and the schedule a time zone."""
    for item in of_kind(objects, "CronJob"):
        spec = item["spec"]
        wrong = {
            "runs two slots at once": spec.get("concurrencyPolicy") != "Forbid",
            "may be late for ever, or never in time": spec.get("startingDeadlineSeconds", 0) < 10,
            "runs by the zone of the control plane": not spec.get("timeZone"),
            "keeps what is not said of its Jobs": not {"successfulJobsHistoryLimit", "failedJobsHistoryLimit"}
            <= set(spec),
            "has Jobs that stay": "ttlSecondsAfterFinished" not in job(item),
            "starts a shard's pod beside one that still runs": job(item).get("podReplacementPolicy") != "Failed",
            "has shards without a number": job(item).get("completionMode") != "Indexed",
            "runs shards after each other": job(item).get("completions") != job(item).get("parallelism"),
        }
        yield from (f"{where(item)} {what}" for what, so in wrong.items() if so)


JOBS = (ending, scheduled)
