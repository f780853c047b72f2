"""An exported model gives what the run gives, says what it is, and is opened without a word about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
import torch
from click.testing import CliRunner

import train.inference.export
from curate.cli import cli
from curate.dataset import Dataset, read_table
from curate.errors import ExistsError, MachineError, MissingError, UsageError
from curate.files import sha256_file
from curate.person_model import open_model
from curate.schema import SCORES
from tests.onnx_models import brightness
from tests.train.making import one_thread, quick
from train.inference.export import TOLERANCE, WholeModel, export_onnx, metadata, onnx_bytes
from train.inference.predict import predict_image
from train.models import build_model, load


@pytest.fixture(scope="module")
def written(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """The exported run, and what the command printed of it."""
    out = tmp_path_factory.mktemp("exported") / "model.onnx"
    with one_thread():
        words = ["train", "export", str(finished), "--to", "onnx", "--out", str(out), "--json"]
        result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.exception
    return out, json.loads(result.stdout)


def test_the_command_tells_size_parameters_speed_and_difference(
    written: tuple[Path, dict[str, object]], finished: Path
) -> None:
    out, told = written
    weights = sum(weight.numel() for weight in load(finished).model.parameters())
    assert (told["out"], told["bytes"], told["parameters"]) == (str(out), out.stat().st_size, weights)
    assert (told["size"], told["free_size"]) == (32, False)
    assert 0 <= float(str(told["difference"])) <= 1e-4
    assert float(str(told["torch_ms"])) > 0 < float(str(told["onnx_ms"]))
    assert told["threads"] == 1


def test_the_file_is_sound_and_says_what_it_is(written: tuple[Path, dict[str, object]], finished: Path) -> None:
    out, _ = written
    onnx.checker.check_model(onnx.load(out))
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert told == metadata(load(finished).config, sha256_file(finished / "best.safetensors"))
    assert (told["normalise"], told["size"], told["fit"]) == ("unit", "32x32", "stretch")
    [image], [person] = session.get_inputs(), session.get_outputs()
    assert (image.name, image.shape, image.type) == ("image", ["batch", 3, 32, 32], "tensor(float)")
    assert (person.name, person.shape) == ("person", ["batch", 1, 32, 32])


@pytest.mark.parametrize("size_hw", [(48, 56), (20, 24), (300, 90), (1, 1)])
def test_an_image_of_any_size_is_predicted_as_the_run_does(
    size_hw: tuple[int, int], written: tuple[Path, dict[str, object]], finished: Path
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    expected = predict_image(load(finished), image)
    assert np.abs(open_model(written[0]).predict(image) - expected).max() < TOLERANCE


def test_the_file_scores_as_the_run(
    written: tuple[Path, dict[str, object]], finished: Path, drawn: Dataset, tmp_path: Path
) -> None:
    """Without an option: all that is needed stands in the file."""
    tables = []
    for name, words in (("onnx", [str(written[0]), str(drawn.root)]), ("run", [str(finished)])):
        command = ["train", "score", *words, "--split", "val", "--split", "test", "--out", str(tmp_path / name)]
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 0, result.exception
        tables.append(read_table(tmp_path / name / "scores.parquet", SCORES))
    ours, theirs = tables
    assert ours["sample_id"].equals(theirs["sample_id"])
    for figure in ("iou", "boundary_iou", "bce"):
        assert (ours[figure] - theirs[figure]).abs().max() == pytest.approx(0, abs=0.01)
    assert ours.select(pl.col("tp", "fp", "fn", "tn").sum()).row(0) == pytest.approx(
        theirs.select(pl.col("tp", "fp", "fn", "tn").sum()).row(0), abs=8
    )


def test_a_file_is_replaced_by_force_alone(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    out.write_bytes(b"mine")
    with pytest.raises(ExistsError, match=r"exists already\. Choose another --out, or pass --force"):
        export_onnx(finished, out)
    assert out.read_bytes() == b"mine"


def test_a_name_that_score_would_not_know_is_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--out .*model\.txt: expected a name that ends in \.onnx$"):
        export_onnx(finished, tmp_path / "model.txt")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_off_is_not_written(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = brightness(tmp_path / "other.onnx", ("batch", 3, 32, 32)).read_bytes()
    monkeypatch.setattr(train.inference.export, "onnx_bytes", lambda *given, **named: other)
    out = tmp_path / "model.onnx"
    with pytest.raises(MachineError, match=r"not written\. The file's probabilities are off those of .* by 0\.\d+"):
        export_onnx(finished, out)
    assert list(tmp_path.iterdir()) == [tmp_path / "other.onnx"]


def test_what_is_no_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["train", "export", str(tmp_path), "--out", str(tmp_path / "a.onnx")])
    assert isinstance(result.exception, MissingError)


def test_a_model_that_cannot_be_traced_is_one_line() -> None:
    class Fickle(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image[:, :1] if image.sum().item() > 0 else image[:, 1:2]

    with pytest.raises(MachineError, match=r"^--model pspnet cannot be written as an ONNX file that runs") as caught:
        onnx_bytes(WholeModel(Fickle()).eval(), quick(), "", free_size=False)
    assert "\n" not in str(caught.value)


MODELS = [
    quick(model="unet", encoder="resnet34"),
    quick(model="unet", position_channels=True),
    quick(model="fcn8s"),
    quick(model="fcn32s", position_channels=True),
    quick(model="tiramisu56"),
    quick(model="tiramisu56", position_channels=True),
]


@pytest.mark.long
@pytest.mark.usefixtures("narrow_fcn")
@pytest.mark.parametrize("free_size", [False, True], ids=["fixed", "free"])
@pytest.mark.parametrize("config", MODELS, ids=lambda config: f"{config.model}-{config.encoder}")
def test_models_give_the_same_as_files(config: object, free_size: bool) -> None:
    check(config, free_size=free_size)


def check(config: object, *, free_size: bool) -> None:
    """The model of a configuration with random weights, in torch and as a file."""
    model = build_model(config)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # layers that start at zero would hide what is before them
        for weight in model.parameters():
            if not weight.any():
                weight.copy_(0.05 * torch.randn(weight.shape, generator=generator))
    whole = WholeModel(model.eval()).eval()
    session = train.inference.export._session(onnx_bytes(whole, config, "", free_size=free_size))  # type: ignore[arg-type]
    shapes = [(1, 32, 32), (3, 32, 32)] + ([(2, 64, 96)] if free_size else [])
    assert max(train.inference.export._difference(whole, session, shape) for shape in shapes) < 1e-4
    with torch.inference_mode():
        assert whole(torch.rand(1, 3, 96, 96, generator=generator)).std() > 1e-6
