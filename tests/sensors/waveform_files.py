"""Writers of the three kinds of files that waveforms come in."""

from __future__ import annotations

import wave

import h5py
import numpy as np


def write_wav(path, *waves, width=3, rate=1000, full_scale=0.5):
    whole = np.round(np.column_stack(waves) / full_scale * (2 ** (8 * width - 1) - 1)).astype(np.int64).ravel()
    if width == 1:
        whole = whole + 128
    data = b"".join(int(v).to_bytes(width, "little", signed=width > 1) for v in whole)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(waves))
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def write_csv(path, **columns):
    lines = [",".join(columns)]
    lines += [",".join(repr(float(v)) for v in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_hdf5(path, rate=1000.0, time=1772360100.0, **sets):
    with h5py.File(path, "w") as file:
        for name, samples in sets.items():
            found = file.create_dataset(name, data=samples)
            found.attrs.update({"time": time, "rate_hz": rate})
    return path
