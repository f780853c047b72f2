"""A web server that stands in for those of COCO and VOC: all else of FiftyOne's zoo is FiftyOne's own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ADDRESSES = """
import os
base = os.environ["ZOO_ADDRESS"]
if os.environ["ZOO_NAME"] == "coco-2017":
    import fiftyone.utils.coco as coco
    coco._ANNOTATION_DOWNLOAD_LINKS["2017"] = base + "/annotations_trainval2017.zip"
    for split, name in (("train", "train2017"), ("validation", "val2017")):
        coco._IMAGE_DOWNLOAD_LINKS["2017"][split] = f"{base}/{name}.zip"
        coco._SPLIT_SIZES["2017"][split] = int(os.environ["ZOO_IMAGES"])
else:
    import torchvision.datasets.voc as voc
    voc.DATASET_YEAR_DICT["2012"].update(url=base + "/voc.tar", md5=os.environ["ZOO_MD5"])
"""
"""What Python runs before anything else where its folder is on PYTHONPATH."""


def addresses(folder: Path, name: str, address: str, *, images: int = 0, md5: str = "") -> dict[str, str]:
    """The environment in which FiftyOne downloads a data set from `address`, and keeps its zoo in `folder`."""
    (folder / "site").mkdir(parents=True, exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(ADDRESSES)
    return {
        "FIFTYONE_DATASET_ZOO_DIR": str(folder / "zoo"),
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "ZOO_NAME": name,
        "ZOO_ADDRESS": address,
        "ZOO_IMAGES": str(images),
        "ZOO_MD5": md5,
    }


class Server(ThreadingHTTPServer):
    """A web server of one folder on this machine, which can be told to accept connections and say nothing.

    Attributes:
        asked: The paths it was asked for, in order.
        silent: Whether it says nothing.
        waited: Set as soon as somebody waits for a silent answer.
        left: Set as soon as one who waited is gone.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.asked, self.silent = folder, list[str](), False
        self.waited, self.left = threading.Event(), threading.Event()

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers with the file of the folder, whole, or with 404."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.silent:
            self.server.waited.set()
            self.connection.recv(1)  # returns when the other side goes away
            self.server.left.set()
            return
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A running server of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with Server(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
