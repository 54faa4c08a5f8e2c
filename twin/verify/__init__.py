"""A reconstruction for checking: a small box of a scan without and with corrections, and how sharp its edges are in both."""

from twin.verify.given import Given, VerifyError, given_series
from twin.verify.run import Options, verify
from twin.verify.verified import Verified

__all__ = ["Given", "Options", "Verified", "VerifyError", "given_series", "verify"]
