"""``python -m manifold_gen`` is the command line."""

import sys

from manifold_gen.cli import main

sys.exit(main())
