"""``python -m tests.hostile`` writes the table of all cases."""

from tests.hostile.table import README, page

if __name__ == "__main__":
    README.write_text(page(), encoding="utf-8")
