"""`python -m service` is the command `serve`."""

import sys

from service.cli import main

sys.exit(main())
