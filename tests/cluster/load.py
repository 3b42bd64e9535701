"""A load of requests at a fixed rate, without retries: a program for a pod, of the standard library only.

Open loop: each request is sent at its time whether or not those before it were answered, and says how long it waits,
since a machine that builds images and starts pods beside it may take longer than the second that a server supposes. Of
four requests one goes to the Service on a kept connection, one to it on a new one, and two to the gateway likewise
(where there is one). A kept connection that its server has closed is not used again, as in any client.

Usage: python load.py REQUESTS RATE BODY DIRECT [GATEWAY], addresses as http://host/path. Prints one JSON document:
answers by tenth of a second of sending and by version, every failure, and quantiles of the seconds.
"""

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict
from urllib.parse import urlsplit

SECONDS = 10
BUCKET = 0.1


class Load:
    """What was sent and what came."""

    def __init__(self, body, addresses):
        """Prepare the request to each address."""
        self.sinks = [(urlsplit(address), kept) for address in addresses for kept in (True, False)]
        self.idle = defaultdict(list)
        self.answers = defaultdict(Counter)
        self.failures = []
        self.seconds = []
        self.requests = {url: _request(url, body) for url, _ in self.sinks}

    async def run(self, count, rate):
        """Send `count` requests, `rate` a second."""
        start = time.time()
        tasks = set()
        for number in range(count):
            await asyncio.sleep(max(0, start + number / rate - time.time()))
            task = asyncio.create_task(self._one(*self.sinks[number % len(self.sinks)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        return time.time() - start

    async def _one(self, url, kept):
        sent, clock = time.time(), time.perf_counter()
        try:
            async with asyncio.timeout(SECONDS):
                status, said = await self._ask(url, kept)
        except (OSError, TimeoutError, EOFError, ValueError) as error:
            self._fail(sent, url, kept, f"{type(error).__name__}: {error}")
            return
        self.seconds.append(time.perf_counter() - clock)
        if status != 200:
            self._fail(sent, url, kept, f"{status}: {said[:200]!r}")
            return
        self.answers[int(sent / BUCKET)][json.loads(said)["version"]] += 1

    def _fail(self, sent, url, kept, words):
        self.failures.append([sent, url.netloc, "kept" if kept else "new", words])

    async def _ask(self, url, kept):
        reader, writer = await self._connection(url, kept)
        try:
            writer.write(self.requests[url])
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            said = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.close()
            raise
        if kept and headers.get("connection") != "close":
            self.idle[url].append((reader, writer))
        else:
            writer.close()
        return int(head[0].split()[1]), said

    async def _connection(self, url, kept):
        while kept and self.idle[url]:
            reader, writer = self.idle[url].pop()
            if not (reader.at_eof() or writer.is_closing()):
                return reader, writer
            writer.close()
        return await asyncio.open_connection(url.hostname, url.port or 80)


def _request(url, body):
    head = f"POST {url.path or '/'} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
    head += f"grpc-timeout: {SECONDS}S\r\n"
    return f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()


def main():
    """Run the load and print what came of it."""
    count, rate, body, *addresses = sys.argv[1:]
    load = Load(body, addresses)
    print("ready", flush=True)
    took = asyncio.run(load.run(int(count), float(rate)))
    ordered = sorted(load.seconds) or [0.0]
    quantiles = {name: ordered[int((len(ordered) - 1) * share)] for name, share in (("p50", 0.5), ("p99", 0.99))}
    document = {"answers": load.answers, "failures": load.failures, "took": took, "seconds": quantiles}
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    main()
