"""Where the tree's parts are, as tests need them."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
FIXTURES = TESTS / "fixtures"
# The folders as the package `plimsoll`, for a Python that has not installed it (`make setup` links them).
PACKAGES = ROOT / ".venv" / "src"
OBJECTIVES = ROOT / "slo" / "objectives.yaml"
