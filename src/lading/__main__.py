"""``python -m lading``: the same as the command ``lading``."""

import sys

from lading.cli import main

sys.exit(main())
