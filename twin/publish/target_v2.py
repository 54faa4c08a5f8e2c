"""InfluxDB 2 and 3, VictoriaMetrics: ``/api/v2/write`` through influxdb-client, one synchronous request per batch."""

from __future__ import annotations

import os
from pathlib import Path

import urllib3
from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS, WriteApi
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from twin.publish.target import Answer, TokenError, Verdict, judge, plain, read_token, reason


class V2Target:
    """``write_api(SYNCHRONOUS)`` of influxdb-client.

    Never its batching writer: that one drops on 400 and 413, after 180 s of outage, and what waits at exit.

    Parameters
    ----------
    url : str
        Base address, without ``/api``.
    bucket, org : str
        VictoriaMetrics ignores both.
    token_file : Path, optional
    timeout_s : float
        For a whole request [s].
    """

    def __init__(
        self, url: str, bucket: str, org: str = "", token_file: Path | None = None, timeout_s: float = 10.0
    ) -> None:
        self.name = f"{url} (v2, {bucket})"
        self._url, self._bucket, self._org = url.rstrip("/"), bucket, org
        self._token_file, self._timeout_s = token_file, timeout_s
        self._token: str | None = None
        self._client: InfluxDBClient | None = None
        self._writer: WriteApi | None = None

    def send(self, body: bytes) -> Answer:
        """Hand over lines, and wait for the answer."""
        try:
            writer, client = self._connected(read_token(self._token_file))
            writer.write(self._bucket, self._org, body, write_precision=WritePrecision.NS)
        except TokenError as error:
            return Answer(Verdict.DENIED, str(error))
        except ApiException as error:
            if not error.status:  # how the client wraps a certificate that it doesn't trust
                return Answer(Verdict.RETRY, f"no answer: {plain(str(error.reason))}")
            text = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
            return judge(int(error.status), text, dict(error.headers or {}))
        except urllib3.exceptions.LocationValueError as error:
            return Answer(Verdict.DENIED, f"the address can't be used: {plain(str(error))}")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            # "<…Connection object at 0x…>: Failed to establish …": the address of an object tells nobody anything
            return Answer(Verdict.RETRY, f"no answer: {reason(error)}")
        # the client takes any 2xx for a success; only 204 is one
        return judge(int(getattr(client.api_client.last_response, "status", 204)), "")

    def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            self._client.close()
        self._client = self._writer = None

    def _connected(self, token: str) -> tuple[WriteApi, InfluxDBClient]:
        if self._client is None or self._writer is None or token != self._token:
            self.close()
            self._client = InfluxDBClient(
                self._url, token or "none", org=self._org, enable_gzip=True, timeout=int(self._timeout_s * 1000),
                ssl_ca_cert=os.environ.get("REQUESTS_CA_BUNDLE") or None,
            )  # fmt: skip
            self._writer = self._client.write_api(write_options=SYNCHRONOUS)
            self._token = token
        return self._writer, self._client
