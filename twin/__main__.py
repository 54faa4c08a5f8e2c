"""``python -m twin`` is ``ctwin``."""

import sys

from twin.cli import main

sys.exit(main())
