"""`python -m serving`: the service on its own, without the command line's dependencies."""

import gc
import os
import sys
from argparse import ArgumentParser

_PORTS = range(1, 65536)


def main() -> None:
    """Serve, on settings from the environment."""
    parser = ArgumentParser(prog="python -m serving", description="Answer over HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on")
    parser.add_argument("--open", action="store_true", help="let other machines in though no key is required")
    asked = parser.parse_args()
    if asked.port not in _PORTS:
        parser.error(f"argument --port: {asked.port} is no port; choose one from 1 to 65535")
    gc.disable()  # while modules are loaded nothing becomes garbage; `Server.startup` enables it again
    from forecaster import logs
    from forecaster.errors import ForecasterError
    from serving.server import serve
    from serving.settings import Settings

    try:
        logs.start(os.environ, sys.stderr)
        serve(Settings.read(), asked.host, asked.port, asked.open)
    except ForecasterError as error:
        sys.exit(f"serving: {error}")


if __name__ == "__main__":
    main()
