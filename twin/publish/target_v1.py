"""InfluxDB 1.x: a plain HTTP POST to ``/write``."""

from __future__ import annotations

import base64
import gzip
import os
from pathlib import Path

import requests
from requests.auth import AuthBase

from twin.publish.target import Answer, TokenError, Verdict, judge, plain, read_token, reason


class V1Target:
    """``POST url/write?db=…&precision=ns`` (InfluxDB 1.x, VictoriaMetrics, and the v1 door of InfluxDB 2 and 3).

    Parameters
    ----------
    url : str
        Base address, without ``/write``.
    database : str
        ``DATABASE`` or ``DATABASE/RETENTION_POLICY``.
    token_file : Path, optional
        ``user:password`` for HTTP basic authentication, or a token.
    timeout_s : float
        For connecting, and for each wait for bytes [s].
    """

    def __init__(self, url: str, database: str, token_file: Path | None = None, timeout_s: float = 10.0) -> None:
        self.name = f"{url} (v1, {database})"
        self._url = url.rstrip("/") + "/write"
        name, _, policy = database.partition("/")
        self._query = {"db": name, "precision": "ns"} | ({"rp": policy} if policy else {})
        self._token_file, self._timeout_s = token_file, timeout_s
        self._session = requests.Session()
        # ~/.netrc and proxies of the user who happens to start it are no part of the configuration; a private CA is
        self._session.trust_env = False
        self._session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True

    def send(self, body: bytes) -> Answer:
        """Hand over lines, and wait for the answer."""
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
        try:
            token = read_token(self._token_file)
            # a redirected POST would become a GET that stores nothing and is answered with 200
            answer = self._session.post(
                self._url, params=self._query, data=gzip.compress(body, 5, mtime=0), headers=headers,
                auth=_Credentials(token) if token else None, timeout=self._timeout_s, allow_redirects=False,
            )  # fmt: skip
        except TokenError as error:
            return Answer(Verdict.DENIED, str(error))
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            return Answer(Verdict.DENIED, f"the address can't be used: {plain(str(error))}")
        except requests.RequestException as error:
            return Answer(Verdict.RETRY, f"no answer: {reason(error)}")
        return judge(answer.status_code, answer.text, answer.headers)

    def close(self) -> None:
        """Let go of connections."""
        self._session.close()


class _Credentials(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if ":" in self._token:
            request.headers["Authorization"] = "Basic " + base64.b64encode(self._token.encode()).decode()
            return request
        request.headers["Authorization"] = f"Token {self._token}"
        return request
