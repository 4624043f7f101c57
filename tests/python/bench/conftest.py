"""The benchmark is a part of the tree, not of the package: its modules are found from the root."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
