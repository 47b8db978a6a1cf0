"""Where things are, for all tests."""

import os
from pathlib import Path

REPO = Path(__file__).parent.parent
DATA = Path(os.environ.get('FUSIONKD_DATA', REPO.parent / 'shared' / 'data'))
