"""`python -m resnet_lib.widgets`: draw every setting of every explorer anew, into drawn/."""

from resnet_lib.widgets import shipped
from resnet_lib.widgets.grids import DRAWN, grid_of, load_packed, packed

if __name__ == "__main__":
    DRAWN.mkdir(exist_ok=True)
    for old in DRAWN.glob("*.bin"):
        old.unlink()
    load_packed.cache_clear()
    for explorer in shipped():
        size = (DRAWN / f"{explorer.grid_name}.bin").write_bytes(packed(grid_of(explorer)))
        print(f"{explorer.grid_name}: {size / 1000:.0f} kB")
