"""`python -m resnet_lib.widgets [NAME …]`: draw every setting of these explorers, or of all, anew, into drawn/."""

import sys

from resnet_lib.widgets import shipped
from resnet_lib.widgets.grids import DRAWN, grid_of, packed

if __name__ == "__main__":
    names = sys.argv[1:]
    for old in DRAWN.glob("*.bin"):  # first, for an explorer does not open on a file that is damaged or of an old form
        if old.stem in names or not names:
            old.unlink()
    explorers = {explorer.grid_name: explorer for explorer in shipped()}
    if unknown := set(names) - set(explorers):
        sys.exit(f"no explorer {', '.join(sorted(unknown))}; there are {', '.join(explorers)}")
    for name in names or explorers:
        size = (DRAWN / f"{name}.bin").write_bytes(packed(grid_of(explorers[name])))
        print(f"{name}: {size / 1000:.0f} kB")
