"""The BentoML service: Trifold's routes, mounted in a Bento.

`bentoml serve` runs it as it is; the image's own command, `python -m trifold.online.server`, puts the same routes in
front of BentoML's middleware, which is faster.
"""

import bentoml

from trifold.online.app import create_app

application = create_app()


@bentoml.asgi_app(application, path="/")
@bentoml.service(name="trifold")
class Trifold:
    """Serves one packed model; see GET /model for which."""
