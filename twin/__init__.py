"""The machine as a whole: configuration, estimation, history, corrections and the service around them."""

__version__ = "0.1.0"
