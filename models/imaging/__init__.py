"""Mathematics of what a projection tells: where a marker stands, how sharp it is, how bright the beam is."""
