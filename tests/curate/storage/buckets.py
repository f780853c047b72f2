"""A bucket of the tests, seen with boto3: what the program says of it is held against another's view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "bucket"


@dataclass(frozen=True)
class Bucket:
    """A bucket."""

    name: str
    client: Any

    def url(self, key: str) -> str:
        """The URL of a key."""
        return f"s3://{self.name}/{key}"

    def listed(self, prefix: str = "") -> list[str]:
        """All keys that begin so, sorted."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        """An object's bytes."""
        data: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def write(self, key: str, data: bytes) -> None:
        """Put an object."""
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def remove(self, key: str) -> None:
        """Take an object away."""
        self.client.delete_object(Bucket=self.name, Key=key)

    def upload(self, folder: Path, key: str) -> None:
        """Copy a folder file by file, as `aws s3 sync` does."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.write(f"{key}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def tag(self, key: str) -> str:
        """An object's ETag."""
        return str(self.client.head_object(Bucket=self.name, Key=key)["ETag"]).strip('"')


def open_bucket(address: str) -> Bucket:
    """The bucket of the tests, made where it is not there."""
    import boto3

    told = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=address, **told)
    client.create_bucket(Bucket=NAME)
    return Bucket(NAME, client)


def lay_out(objects: Mapping[str, bytes]) -> None:
    """Make these all that is in the bucket, behind the server's back: a test takes a third of the time that way."""
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    backend.buckets[NAME].keys.clear()
    for key, data in objects.items():
        backend.put_object(NAME, key, data)
