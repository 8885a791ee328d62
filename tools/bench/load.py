"""Training samples from JPEG files to normalised float batches, against torchvision's recipe on Pillow images.

Both crop (area 0.2 to 1), resize to 224, mirror, and jitter colours with probability 0.5; everything is counted, from
opening the file to the float batch of 64. One thread, files in the page cache, the two taking turns; the figures are
medians of the ratios.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision import transforms

from lt_data import Preprocessing, SampleIndex, TransformConfig
from lt_data.torch import Augmentation, Finisher, StreamSampler, TrainDataset, open_cache, train_loader

BATCH = 64
ROUNDS = 5
SPEC = Preprocessing(image_size=(224, 224))
QUALITY = 90


def write_images(folder: Path, size: tuple[int, int], count: int) -> SampleIndex:
    """JPEGs of different content: mirrored and shifted cuts of scikit-learn's two photographs."""
    folder.mkdir()
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    rng = np.random.default_rng(0)
    for i in range(count):
        photo = photos[i % len(photos)]
        left, top = (int(rng.integers(side // 8)) for side in photo.size)
        cut = photo.crop((left, top, left + photo.width * 7 // 8, top + photo.height * 7 // 8))
        cut.resize(size, Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=QUALITY)
    names = [f"{i}.jpg" for i in range(count)]
    return SampleIndex.from_paths(folder, names, np.zeros(count, dtype=np.int32), num_classes=1)


def recipe(samples: SampleIndex) -> Callable[[], None]:
    """Torchvision's, as its classification references have it for Pillow images."""
    steps = transforms.Compose(
        [
            transforms.RandomResizedCrop(SPEC.image_size, scale=(0.2, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.ColorJitter(32 / 255, 0.5, 0.5, 18 / 360)], p=0.5),
            transforms.ToTensor(),
            transforms.Normalize(SPEC.mean, SPEC.std),
        ]
    )

    def epoch() -> None:
        for start in range(0, len(samples), BATCH):
            batch = []
            for i in range(start, min(start + BATCH, len(samples))):
                with Image.open(samples.path(i)) as image:
                    batch.append(steps(image.convert("RGB")))
            torch.stack(batch)

    return epoch


def ours(dataset: TrainDataset) -> Callable[[], None]:
    """One epoch after another, through the loader and `Finisher`."""
    finisher = Finisher(dataset.augmentation)
    batches = -(-len(dataset) // BATCH)
    position = iter(range(10**6))

    def epoch() -> None:
        start = next(position) * batches
        sampler = StreamSampler(len(dataset), min(BATCH, len(dataset)), start, start + batches, seed=0)
        for batch in train_loader(dataset, sampler, num_workers=0, pin_memory=False):
            finisher(batch)

    return epoch


def seconds(work: Callable[[], None]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(name: str, reference: Callable[[], None], candidate: Callable[[], None], count: int) -> None:
    """Both in turn, and the median of the ratios."""
    candidate()
    pairs = [(seconds(reference), seconds(candidate)) for _ in range(ROUNDS)]
    ratios = [slow / fast for slow, fast in pairs]
    slow, fast = (count / statistics.median(times) for times in zip(*pairs, strict=True))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"{name}: {statistics.median(ratios):.2f} x ({spread}); recipe {slow:.0f}, lt-data {fast:.0f} images/s")


def main(work: Path) -> None:
    """Print the figures."""
    torch.set_num_threads(1)
    augmentation = Augmentation.from_config(TransformConfig(), SPEC)
    small, large = write_images(work / "small", (500, 375), 512), write_images(work / "large", (4000, 3000), 16)
    report("500 x 375", recipe(small), ours(TrainDataset(small, augmentation, 0)), len(small))
    report("12 megapixels", recipe(large), ours(TrainDataset(large, augmentation, 0)), len(large))
    for kind in ("ram", "disk"):
        with open_cache(kind, work, len(small), SPEC, 10**9) as cache:
            report(
                f"500 x 375, {kind} cache", recipe(small), ours(TrainDataset(small, augmentation, 0, cache)), len(small)
            )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else folder))
