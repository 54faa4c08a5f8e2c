"""Mathematics of drift, expansion, flux and resolution; knows no sensor, no clock and no file."""
