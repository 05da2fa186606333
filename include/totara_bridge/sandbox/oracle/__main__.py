"""The sandbox Oracle as a program: ``python -m totara_bridge.sandbox.oracle --port 8090 --data FILE``."""

import argparse
import os
from pathlib import Path

from totara_bridge.sandbox.loopback import listen
from totara_bridge.sandbox.oracle.server import CLIENT_ID, CLIENT_SECRET, Server


def main() -> None:
    """Serve on loopback until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m totara_bridge.sandbox.oracle")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--data", type=Path, required=True, help="SQLite file of what was received")
    arguments = parser.parse_args()
    server = Server(
        arguments.data,
        client_id=os.environ.get("TOTARA_BRIDGE_SANDBOX_CLIENT_ID", CLIENT_ID),
        client_secret=os.environ.get("TOTARA_BRIDGE_SANDBOX_CLIENT_SECRET", CLIENT_SECRET),
    )
    server.run(sockets=[listen(arguments.port)])


if __name__ == "__main__":
    main()
