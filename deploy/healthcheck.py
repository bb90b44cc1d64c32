"""Exit with 0 when the service of this container is ready to answer, with 1 when it is not.

Standard library only and no import of the service: it runs every few seconds beside it.
"""

import http.client
import os
import sys

HTTP_OK = 200


def main() -> int:
    """Ask /health/ready on SERVICE_PORT of this machine."""
    port = int(os.environ.get("SERVICE_PORT", "8000"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return int(connection.getresponse().status != HTTP_OK)
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
