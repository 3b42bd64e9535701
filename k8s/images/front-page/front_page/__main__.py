"""Look at the releases every few seconds, and serve the page of them, until SIGTERM."""

import os
import signal
import sys
import time
from pathlib import Path

from front_page import server
from front_page.api import Api
from front_page.keeper import Keeper

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def main() -> None:
    """Run until SIGTERM, which ends it at once."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    told = os.environ
    api = Api(told.get("FRONT_PAGE_API") or _inside(), Path(told.get("FRONT_PAGE_ACCOUNT", ACCOUNT)))
    keeper = Keeper(api, told["FRONT_PAGE_NAMESPACE"])
    server.start(keeper, int(told.get("FRONT_PAGE_PORT", "8080")))
    every = float(told.get("FRONT_PAGE_SECONDS", "5"))
    while True:
        keeper.look()
        time.sleep(every)


def _inside() -> str:
    """The API's address, which Kubernetes gives every container."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


if __name__ == "__main__":
    main()
