"Shared helpers: real files are used where they lie; a test that lacks one skips with a reason, or fails where they are required."
import os
import pytest
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")          # ranx as plain Python: its compilation takes a minute, ten times as long as the tests that use it
from p5_nb.core import find_file

def real(*parts):
    "The path of a real data file, or a skip that names it (a failure when P5NB_REQUIRE_REAL is set)."
    path = find_file(*parts)
    if path is None: (pytest.fail if os.environ.get("P5NB_REQUIRE_REAL") else pytest.skip)(f"real data file {'/'.join(parts)} is not on this machine")
    return path

LONG = "test_site.py", "test_course.py", "test_wheel.py", "test_check.py", "test_cli.py", "test_resume.py"

def pytest_collection_modifyitems(items):
    "The longest files go first, so that two workers end together."
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
