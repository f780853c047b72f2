"""Fully convolutional networks on VGG16: Long et al. 2015, https://arxiv.org/abs/1411.4038.

The paper pads an image by 100 px and crops the scores; here fc6 pads its own input, so that the grids of all layers
fall on each other and nothing is to be cropped.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vgg import cfgs, make_layers

STRIDES = {"fcn32s": 32, "fcn16s": 16, "fcn8s": 8}
"""Stride in px at which the scores of each network are at last upsampled."""

HIDDEN = 4096
"""Channels of fc6 and fc7, VGG16's fully connected layers."""

REFINING = ("score_pool4.", "score_pool3.", "upsample_fc7.", "upsample_pool4.")
"""What fcn16s has over fcn32s, and fcn8s over fcn16s. It starts so that a finer network predicts as the coarser did."""


class FCN(nn.Module):
    """Images (N, 3, H, W), sides a multiple of 32, to logits (N, classes, H, W).

    Score layers start at zero and the upsampling between them as bilinear interpolation, and both are learnt. The last
    upsampling stays bilinear (sections 4.2 and 4.3).
    """

    def __init__(self, stride: int, classes: int = 1) -> None:
        """A network drawn at random; `stride` is 32, 16 or 8 px, `classes` the channels of the logits."""
        super().__init__()
        self.stride = stride
        self.encoder = VGG16()
        self.fc6 = nn.Conv2d(512, HIDDEN, 7, padding=3)
        self.fc7 = nn.Conv2d(HIDDEN, HIDDEN, 1)
        self.apply(_draw)
        self.score_fc7 = _score(HIDDEN, classes)
        if stride <= 16:
            self.upsample_fc7, self.score_pool4 = _bilinear(classes), _score(512, classes)
        if stride <= 8:
            self.upsample_pool4, self.score_pool3 = _bilinear(classes), _score(256, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits at the images' size."""
        *_, pool3, pool4, pool5 = self.encoder(images)
        hidden = functional.dropout(functional.relu(self.fc6(pool5)), 0.5, self.training)
        hidden = functional.dropout(functional.relu(self.fc7(hidden)), 0.5, self.training)
        scores = self.score_fc7(hidden)
        if self.stride <= 16:
            scores = self.upsample_fc7(scores) + self.score_pool4(pool4)
        if self.stride <= 8:
            scores = self.upsample_pool4(scores) + self.score_pool3(pool3)
        return functional.interpolate(scores, scale_factor=self.stride, mode="bilinear")


class VGG16(nn.Module):
    """The convolutions of VGG16 (Simonyan and Zisserman 2015), named as in its files of pretrained weights."""

    def __init__(self) -> None:
        super().__init__()
        self.features = make_layers(cfgs["D"])

    def forward(self, images: Tensor) -> list[Tensor]:
        """What each pooling gives, at strides of 2, 4, 8, 16 and 32 px."""
        pooled, features = [], images
        for layer in self.features:
            features = layer(features)
            if isinstance(layer, nn.MaxPool2d):
                pooled.append(features)
        return pooled


def convolutional_classifier(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """fc6 and fc7 from VGG16's classifier among its weights, as torchvision names them; empty where it is not there.

    A fully connected layer over 512 x 7 x 7 features is a convolution of 7 x 7 px (section 3.1).
    """
    shapes = {"classifier.0.weight": (HIDDEN, 512 * 7 * 7), "classifier.3.weight": (HIDDEN, HIDDEN)}
    if any(name not in tensors or tensors[name].shape != shape for name, shape in shapes.items()):
        return {}
    return {
        "fc6.weight": tensors["classifier.0.weight"].reshape(HIDDEN, 512, 7, 7),
        "fc6.bias": tensors["classifier.0.bias"],
        "fc7.weight": tensors["classifier.3.weight"][:, :, None, None],
        "fc7.bias": tensors["classifier.3.bias"],
    }


def _draw(module: nn.Module) -> None:
    """By He et al. 2015; so drawn, VGG16 learns without being grown layer by layer."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def _score(channels: int, classes: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, classes, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _bilinear(classes: int) -> nn.ConvTranspose2d:
    """Twice the height and width of each channel by itself, at first by bilinear interpolation."""
    layer = nn.ConvTranspose2d(classes, classes, 4, stride=2, padding=1, bias=False, groups=classes)
    row = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.copy_(torch.outer(row, row))
    return layer
