"""The sandbox Totara as a program.

``python -m totara_bridge.sandbox.totara.http --port 8081 --database-url postgresql://…``
"""

import argparse

from sqlalchemy import create_engine

from totara_bridge.sandbox.loopback import listen
from totara_bridge.sandbox.totara.http.server import Server
from totara_bridge.sandbox.totara.http.site import Site


def main() -> None:
    """Serve on loopback until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m totara_bridge.sandbox.totara.http")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--database-url", required=True, help="of a database with the sandbox's tables and rows")
    parser.add_argument("--prefix", default="ttr_", help="of the names of the tables")
    arguments = parser.parse_args()
    url = arguments.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url, pool_size=20)
    site = Site(engine, prefix=arguments.prefix)
    site.switches.site_url = f"http://127.0.0.1:{arguments.port}"
    Server(site).run(sockets=[listen(arguments.port)])
    engine.dispose()


if __name__ == "__main__":
    main()
