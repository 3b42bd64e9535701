"""Load by wrk, with its answers counted by status and Retry-After."""

import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
SCRIPT = """
wrk.method = "POST"
wrk.body = [==[%s]==]
for name, value in string.gmatch([==[%s]==], "([^:\\n]+): ([^\\n]+)") do wrk.headers[name] = value end
local threads, counts = {}, {}
answers = ""
function setup(thread) table.insert(threads, thread) end
function response(status, headers)
  local key = status .. " " .. (headers["Retry-After"] or headers["retry-after"] or "-")
  if not counts[key] then answers = answers .. key .. "\\n" end
  counts[key] = (counts[key] or 0) + 1
  _G[key] = counts[key]
end
function done()
  for _, thread in ipairs(threads) do
    for key in string.gmatch(thread:get("answers"), "[^\\n]+") do print("answered", key, thread:get(key)) end
  end
end
"""
Answered = Counter[tuple[str, str]]
"""How many answers had a status and a Retry-After."""


@dataclass(frozen=True)
class Load:
    """What came of some seconds of load.

    Attributes:
        rate: Answers with a prediction a second.
        p50: Milliseconds to half of all answers.
        p99: Milliseconds to all but a hundredth.
        answered: Answers by status.
    """

    rate: float
    p50: float
    p99: float
    answered: Answered


def load(url: str, body: object, headers: Mapping[str, str], connections: int, seconds: int) -> Load:
    """What so many clients, on core 1, get that wait for an answer each."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT % (json.dumps(body), "\n".join(f"{name}: {value}" for name, value in headers.items())))
        script.flush()
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=30s", "--latency", "-s", script.name]
        command = ["taskset", "-c", "1", "wrk", *options, url]
        return read_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def read_load(printed: str) -> Load:
    """What wrk printed."""
    answered: Answered = Counter()
    for status, after, count in re.findall(r"^answered\t(\d+) (\S+)\t(\d+)", printed, re.MULTILINE):
        answered[status, after] += int(count)
    if lost := re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", printed):
        answered["no answer", "-"] += sum(map(int, lost.groups()))
    good = sum(count for (status, _), count in answered.items() if status == "200")
    took, unit = re.search(r"requests in ([\d.]+)(us|ms|s|m),", printed).groups()
    p50, p99 = (
        float(found[1]) * MILLISECONDS[found[2]]
        for found in (re.search(rf"{percent}%\s+([\d.]+)(us|ms|s|m)", printed) for percent in (50, 99))
    )
    return Load(good / (float(took) * MILLISECONDS[unit] / 1000), p50, p99, answered)


def tell(answered: Answered) -> str:
    """Such as "200: 1,000, 503: 5 (Retry-After 1 to 2)"."""
    cells = []
    for status in sorted({status for status, _ in answered}):
        count = sum(count for (one, _), count in answered.items() if one == status)
        after = sorted({int(after) for one, after in answered if one == status and after.isdecimal()})
        span = " to ".join(map(str, after[:1] + after[1:][-1:]))
        cells.append(f"{status}: {count:,}" + (f" (Retry-After {span})" if after else ""))
    return ", ".join(cells)
