"""Augmentation of a whole batch of raw images at once, every draw from one explicit generator."""

from __future__ import annotations

import torch
from torch import Tensor

from refsim.exceptions import UsageError

AUGMENTATIONS = ("crop", "flip", "cutout", "autoaugment")


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Shift every image by up to `padding` pixels in each direction, filling with black."""
    B, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    offsets = torch.randint(0, 2 * padding + 1, (2, B, 1), generator=generator)
    rows = offsets[0] + torch.arange(height)
    columns = offsets[1] + torch.arange(width)
    # Advanced indices on both sides of a slice put their axes first: (B, H, W, C).
    return padded[torch.arange(B)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror every image left to right with probability 1/2."""
    flipped = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(flipped, images.flip(-1), images)


def cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Blacken one square of `side` pixels per image, its centre anywhere in it (DeVries and Taylor 2017)."""
    B, _, height, width = images.shape
    centre_y = torch.randint(0, height, (B, 1, 1, 1), generator=generator)
    centre_x = torch.randint(0, width, (B, 1, 1, 1), generator=generator)
    y, x = torch.arange(height).reshape(1, 1, -1, 1), torch.arange(width).reshape(1, 1, 1, -1)
    inside_y = (y >= centre_y - side // 2) & (y < centre_y - side // 2 + side)
    inside_x = (x >= centre_x - side // 2) & (x < centre_x - side // 2 + side)
    return torch.where(inside_y & inside_x, torch.zeros((), dtype=images.dtype), images)


def auto_augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """The CIFAR-10 policy of AutoAugment, one draw per image; needs torchvision."""
    try:
        from torchvision.transforms import v2  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise UsageError(
            "autoaugment needs torchvision (pip install torchvision); crop, flip and cutout do without it"
        ) from error
    policy = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
    # torchvision draws from the global generator only; it is left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(0, 2**62, (), generator=generator)))
        return torch.stack([policy(image) for image in images])


def augment(images: Tensor, kinds: tuple[str, ...], generator: torch.Generator, *, shift: int = 4) -> Tensor:
    """Apply `kinds` of `AUGMENTATIONS`, always in that order, to uint8 images (B, C, H, W).

    `shift` is the largest displacement of a crop in pixels; cutout blackens a square of half the image's side.
    """
    if "crop" in kinds:
        images = random_crop(images, shift, generator)
    if "flip" in kinds:
        images = random_flip(images, generator)
    if "autoaugment" in kinds:
        images = auto_augment(images, generator)
    if "cutout" in kinds:
        images = cutout(images, images.shape[-1] // 2, generator)
    return images
