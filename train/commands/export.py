"""`curate train export`."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.place import FOLDER, LOCAL
from curate.files import json_bytes
from train.commands.console import SETTINGS, note


@click.command("export", context_settings=SETTINGS)
@click.argument("run", type=FOLDER)
@click.option("--to", "kind", type=click.Choice(["onnx"]), default="onnx", help="Format of the file.")
@click.option("--out", metavar="FILE", type=LOCAL, required=True, help="The file.")
@click.option("--free-size", is_flag=True, help="Take images of any height and width that are multiples of 32 px.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export_model(run: Path, kind: str, out: Path, free_size: bool, force: bool, as_json: bool) -> None:
    """Write a run's model as an ONNX file: RGB in [0, 1] in, probability of person out.

    The file is compared with the run before it is written, and timed beside it. Without --free-size it takes images of
    the size the run was trained at, as many at once as one likes.

    \b
    Example:
      curate train export runs/first --to onnx --out first.onnx
      curate train score first.onnx people --split test --out runs/first-onnx
    """
    from train.config import read_config

    read_config(run)  # so that what is no run is refused before torch is imported

    from train.inference.export import export_onnx

    note(f"exporting {run} to {kind}")
    made = export_onnx(run, out, free_size=free_size, force=force)
    if as_json:
        click.echo(json_bytes(made).decode())
        return
    shape = "any multiple of 32 px" if made.free_size else f"{made.size}x{made.size} px"
    click.echo(
        f"{made.out}: {made.bytes / 1e6:.1f} MB, {made.parameters / 1e6:.1f} million parameters, images of {shape}\n"
        f"largest difference from the run: {made.difference:.1e}\n"
        f"one image of {made.size} px on {made.threads} CPU threads: torch {made.torch_ms:.1f} ms, "
        f"onnxruntime {made.onnx_ms:.1f} ms"
    )
