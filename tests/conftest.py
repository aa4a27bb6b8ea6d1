"Shared fixtures: real files are used where they lie, and skipped with a reason where they do not."
import pytest
from p5_nb.core import find_file

def real(*parts):
    "The path of a real data file, or a skip that names it."
    path = find_file(*parts)
    if path is None: pytest.skip(f"real data file {'/'.join(parts)} is not on this machine")
    return path
