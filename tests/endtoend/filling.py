"""A program that fills a folder with projections of a wire: some half-written for a while, some out of order.

    python filling.py FOLDER PERIOD_S SEED

goes on until its standard input is closed, completes what it has begun, and prints how many there are. Its noise is Poisson;
projection k has its wire at :func:`place`. It needs nothing of ctwin.
"""

from __future__ import annotations

import heapq
import io
import random
import sys
import threading
import time
from pathlib import Path

import numpy as np
import tifffile

ROWS, COLUMNS = 48, 64
WINDOW = f"0:{COLUMNS},0:{ROWS}"
T0 = np.datetime64("2026-03-01T10:00:00", "s")
AHEAD = 4  # of so many projections neighbouring ones may change places


def place(number: int) -> float:
    """Column of the wire [px]; it drifts."""
    return 30.0 + 0.004 * number


def stamp(number: int) -> str:
    """Time of a projection by its TIFF tag; one each 10 s."""
    return (T0 + 10 * number).item().strftime("%Y:%m:%d %H:%M:%S")


def image(number: int, seed: int) -> np.ndarray:
    """Counts of a projection."""
    rng = np.random.default_rng([seed, number])
    fine = (np.arange(COLUMNS * 8) + 0.5) / 8.0 - 0.5
    chord = 2.0 * np.sqrt(np.maximum(25.0 - (fine - place(number)) ** 2, 0.0))
    kernel = np.exp(-0.5 * (np.arange(-48, 49) / 8.0 / 1.3) ** 2)
    row = np.convolve(np.pad(np.exp(-0.09 * chord), 48, mode="edge"), kernel / kernel.sum(), "valid")
    return rng.poisson(2000.0 * row.reshape(COLUMNS, 8).mean(axis=1), (ROWS, COLUMNS)).astype(np.uint16)


def main(folder: Path, period_s: float, seed: int) -> None:
    """Write a projection each ``period_s`` until told to stop."""
    chance, stop = random.Random(seed), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    turns: list[tuple[float, int]] = []  # some let up to AHEAD others pass
    held: list[tuple[int, Path, bytes]] = []  # (when to go on, file, its second part)
    begin, count = time.monotonic(), 0
    while turns or not stop.is_set():
        if not stop.is_set():
            heapq.heappush(turns, (count + (AHEAD * chance.random() if chance.random() < 0.2 else 0.0), count))
            count += 1
        while turns and (turns[0][0] <= count or stop.is_set()):
            put(folder, heapq.heappop(turns)[1], seed, count, chance, held)
        for due in [one for one in held if one[0] <= count]:
            finish(*due[1:])
            held.remove(due)
        time.sleep(max(begin + count * period_s - time.monotonic(), 0.0))
    for _, path, rest in held:
        finish(path, rest)
    print(count)


def put(
    folder: Path, number: int, seed: int, count: int, chance: random.Random, held: list[tuple[int, Path, bytes]]
) -> None:
    """Write a projection, or a part of it, whose rest is then held back for a while."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, image(number, seed), datetime=stamp(number))
    whole, path = buffer.getvalue(), folder / f"proj_{number:05d}.tif"
    cut = chance.randrange(len(whole)) if chance.random() < 0.15 else len(whole)
    path.write_bytes(whole[:cut])
    if cut < len(whole):
        held.append((count + chance.randint(3, 25), path, whole[cut:]))


def finish(path: Path, rest: bytes) -> None:
    """Write the second part of a file."""
    with path.open("ab") as file:
        file.write(rest)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
