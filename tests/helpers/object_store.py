"""An S3 server on this machine, a process of its own that checks credentials and signatures (moto's)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

ALLOWED = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
#: Calls that make a bucket and a user; after them the server looks at credentials.
PREPARED = 4


class ObjectStore:
    """A server with one bucket, and a cache in it.

    Attributes:
        address: of the cache that is used now.
        secret: that no file may hold.
    """

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._used = 0
        self.another()
        self.start()

    def start(self) -> None:
        """Starts the server, with an empty bucket and another user."""
        import botocore.session

        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)],
            env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(PREPARED)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while not self._listens():
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.05)
        found: dict[str, Any] = {"endpoint_url": f"http://127.0.0.1:{self._port}", "region_name": "us-east-1"}
        found |= {"aws_access_key_id": "anyone", "aws_secret_access_key": "anything"}
        session = botocore.session.Session()
        session.create_client("s3", **found).create_bucket(Bucket="cache")
        users = session.create_client("iam", **found)
        users.create_user(UserName="reidbench")
        key = users.create_access_key(UserName="reidbench")["AccessKey"]
        users.put_user_policy(UserName="reidbench", PolicyName="all", PolicyDocument=json.dumps(ALLOWED))
        self.secret = key["SecretAccessKey"]
        self._user = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": self.secret}

    def another(self) -> None:
        """Another cache, which is empty."""
        self._used += 1
        self.address = f"s3://cache/{self._used}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs."""
        return {
            "REIDBENCH_CACHE": self.address,
            **self._user,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            # No machine's own role or files.
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
        }

    def end(self) -> None:
        """Kills the server."""
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True
