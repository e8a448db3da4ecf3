"""`python -m resnet_lib.widgets [NAME …]`: draw every setting of these explorers, or of all, anew, into drawn/."""

import sys

from resnet_lib.widgets import shipped
from resnet_lib.widgets.grids import DRAWN, grid_of, packed

if __name__ == "__main__":
    explorers = {explorer.grid_name: explorer for explorer in shipped()}
    if unknown := set(sys.argv[1:]) - set(explorers):
        sys.exit(f"no explorer {', '.join(sorted(unknown))}; there are {', '.join(explorers)}")
    DRAWN.mkdir(exist_ok=True)
    for name in sys.argv[1:] or explorers:
        size = (DRAWN / f"{name}.bin").write_bytes(packed(grid_of(explorers[name])))
        print(f"{name}: {size / 1000:.0f} kB")
    for left_over in {path.stem for path in DRAWN.glob("*.bin")} - set(explorers):
        (DRAWN / f"{left_over}.bin").unlink()
