"""A plain training loop, as one writes it by hand: a Dataset, a DataLoader, one-cycle AdamW, cross-entropy plus Dice.

U-Net on MobileNetV2 from random weights, 160 px, flips, rotation, scale and brightness, the last epoch's weights. It
learns from all of a dataset's images but those of `test`, and leaves a folder that `curate train score` scores.
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as nnf
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

SIZE, BATCH, RATE = 160, 16, 1e-3
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Photos(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Photographs and masks, decoded when they are asked for."""

    def __init__(self, root: Path, names: list[tuple[str, str]]) -> None:
        self.root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        image, mask = (self.root / name for name in self.names[number])
        photo = Image.open(image).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        label = Image.open(mask).resize((SIZE, SIZE), Image.Resampling.NEAREST)
        x, y = torch.from_numpy(np.array(photo)).permute(2, 0, 1), torch.from_numpy(np.array(label))[None]
        if random.random() < 0.5:
            x, y = tv.horizontal_flip(x), tv.horizontal_flip(y)
        angle, scale = random.uniform(-15, 15), random.uniform(0.8, 1.3)
        x = tv.affine(x, angle, [0, 0], scale, [0, 0], InterpolationMode.BILINEAR)
        y = tv.affine(y, angle, [0, 0], scale, [0, 0], InterpolationMode.NEAREST, fill=[128])
        return tv.adjust_brightness(x, random.uniform(0.7, 1.3)), y[0]


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy plus 1 - soft Dice, over counted pixels."""
    counted, person = (targets != 128).float(), (targets == 255).float()
    bce = (nnf.binary_cross_entropy_with_logits(logits, person, reduction="none") * counted).sum() / counted.sum()
    chance = logits.sigmoid() * counted
    dice = (2 * (chance * person).sum((1, 2)) + 1) / (chance.sum((1, 2)) + person.sum((1, 2)) + 1)
    return bce + (1 - dice).mean()


def main(dataset: Path, out: Path, epochs: int, seed: int) -> None:
    """Train, save, print the seconds it took."""
    import polars as pl  # as anybody's script would read the list of images

    random.seed(seed)
    torch.manual_seed(seed)
    rows = pl.read_parquet(dataset / "samples.parquet").filter(pl.col("split").is_in(["train", "val", "background"]))
    photos = Photos(dataset, list(rows.select("image", "mask").iter_rows()))
    loader: DataLoader[Any] = DataLoader(photos, BATCH, shuffle=True, drop_last=True, num_workers=2)
    model = smp.Unet("mobilenet_v2", encoder_weights=None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * len(loader))
    begun = time.perf_counter()
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for images, targets in loader:
            loss = loss_of(model(tv.normalize(images.float() / 255, MEAN, DEVIATION))[:, 0], targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            total += float(loss)
        told = f"epoch {epoch + 1}: loss {total / len(loader):.3f}, {time.perf_counter() - begun:.0f} s"
        print(told, file=sys.stderr, flush=True)
    seconds = time.perf_counter() - begun
    out.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, out / "best.safetensors")
    header = json.loads((dataset / "dataset.json").read_bytes())
    config = {"dataset": str(dataset.resolve()), "digest": header["digest"], "model": "unet"}
    config |= {"encoder": "mobilenet_v2", "weights": "none", "size": SIZE}
    (out / "config.json").write_text(json.dumps(config))
    print(json.dumps({"wall_s": seconds, "images": len(rows)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
