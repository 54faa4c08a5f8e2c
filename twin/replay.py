"""A twin over a recorded log: the same pipeline as live, with the record's own clock."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alerts.record import record
from models.estimate import Estimate
from models.turning import is_angle
from models.warm_up import WarmUp, find_warm_up
from sensors.reading import Reading
from twin.assembly import flux_prior
from twin.atomic import make_folder, write_atomic
from twin.config import Config
from twin.core import Twin
from twin.correct import collect
from twin.episodes import list_events
from twin.history import History
from twin.pipeline import Pipeline
from twin.scan import Scan
from twin.spectrum_picture import spectrum_svg
from twin.tables import estimates_csv, resolution_csv
from twin.vibration import vibration_state

SLICE_STEPS = 6  # grid steps per batch: rules look and resolution is reported that often


@dataclass(slots=True)
class Replayed:
    """What a replay found."""

    estimates: list[Estimate] = field(default_factory=list)
    samples: list[dict[str, float | None]] = field(default_factory=list)
    resolution: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    drops: dict[str, int] = field(default_factory=dict)
    alerts_raised: int = 0
    nis: float = float("nan")
    gated: int = 0
    warm_up: WarmUp | None = None
    covariates: dict[str, tuple[float, float]] = field(default_factory=dict)


def replay(
    config: Config,
    readings: Sequence[Reading],
    out: Path,
    *,
    scan: Scan | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Replayed:
    """Replay readings and write ``estimates.csv``, ``resolution.csv`` and ``alerts.jsonl`` into ``out``."""
    make_folder(out)
    found = Replayed()
    with tempfile.TemporaryDirectory(prefix="ctwin-") as folder:
        history = History(Path(folder))
        try:
            pipeline = Pipeline(config, history, scan=scan)
            made_at = None
            done = 0
            for batch in sliced(readings, SLICE_STEPS * config.estimator.grid_s):
                reached = pipeline.take(batch, None)
                done += len(batch)
                progress(done / max(len(readings), 1))
                found.estimates += reached
                if reached:
                    found.samples.append(pipeline.sample())
                if pipeline.outlook is not None and pipeline.outlook.made_at != made_at:
                    made_at = pipeline.outlook.made_at
                    found.resolution.append((made_at, pipeline.outlook.values))
            found.estimates += pipeline.finish()
            found.nis, found.gated = pipeline.twin.nis, pipeline.twin.gated
            for (_, cause), count in pipeline.twin.aligner.drops.items():
                found.drops[cause] = found.drops.get(cause, 0) + count
            found.covariates = _coefficients(pipeline.twin)
            shaken = vibration_state(config, pipeline.latest.reading)
            events = list_events(history.path)
        finally:
            history.close()
    found.alerts_raised = sum(str(event.transition) == "raised" for event in events)
    found.warm_up = _warm_up(config, readings)
    write_atomic(out / "estimates.csv", estimates_csv(found.samples))
    write_atomic(out / "resolution.csv", resolution_csv(found.resolution))
    for heard in shaken:
        if heard["spectrum"]["frequency_hz"]:
            write_atomic(out / f"vibration-{heard['channel']}.svg", spectrum_svg(heard, config.modes))
    write_atomic(out / "alerts.jsonl", "".join(json.dumps(record(event)) + "\n" for event in events))
    return found


def sliced(readings: Iterable[Reading], span_s: float) -> Iterator[list[Reading]]:
    """Readings in their order, in batches of about ``span_s`` of event time."""
    batch: list[Reading] = []
    end = -np.inf
    for reading in readings:
        if batch and reading.time >= end:
            yield batch
            batch = []
        if not batch:
            end = reading.time + span_s
        batch.append(reading)
    if batch:
        yield batch


def _coefficients(twin: Twin) -> dict[str, tuple[float, float]]:
    model = twin.machine.model
    out = {}
    for name in model.covariates:
        if is_angle(name):
            continue
        i = model.index(f"flux.beta.{name}")
        out[name] = (float(twin.belief.mean[i]), float(np.sqrt(twin.belief.cov[i, i])))
    return out


def _warm_up(config: Config, readings: Sequence[Reading]) -> WarmUp | None:
    """Warm-up of the first flux channel, if the configuration expects one."""
    channel = next((c.name for c in config.channels if c.quantity == "flux"), None)
    prior = flux_prior(config)
    if channel is None or prior.warmup <= 0:
        return None
    twin = Twin(config)
    steps, _ = collect(twin.aligner, twin.vectoriser, [readings])
    if not len(steps):
        return None
    grid = np.geomspace(0.2 * prior.warmup_s[0], 2.0 * prior.warmup_s[1], 60)
    return find_warm_up(twin.machine.model, steps, channel, "flux.warmup", 3.0 * prior.warmup, grid)
