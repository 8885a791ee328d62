"""Batches that fit in the memory of a GPU."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric

from lt_data import Preprocessing
from lt_models import Classifier, set_train_mode
from lt_train.errors import DeviceMemoryError
from lt_train.ranks import FabricRanks

logger = logging.getLogger(__name__)

KEPT_COPIES = 3
"""Of each trained weight beside its gradient: two moments, and the buckets in which gradients are exchanged."""

IMAGE_COPIES = 3
"""Of a batch: as it arrives, finished, and in between."""

MARGIN = 0.1
"""Share of a GPU's memory that stays free in a trial: fragments, and what libraries take for themselves."""

SIGNS = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "MPS backend out of memory")
"""What PyTorch says where it has no error of its own for a lack of memory."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in SIGNS)


def smaller_parts(share: int) -> int:
    """The least number of equal parts, more than one, of a batch: two where it is even.

    Raises:
        DeviceMemoryError: It is a single image.
    """
    if share == 1:
        raise DeviceMemoryError("a single image does not fit in memory: take a smaller model or image_size")
    return next(parts for parts in range(2, share + 1) if share % parts == 0)


def largest_fitting(fits: Callable[[int], bool], limit: int) -> int:
    """The largest batch that fits, of `limit` and its halves.

    Args:
        fits: Whether a batch of so many does.
        limit: At least 1.

    Raises:
        DeviceMemoryError: Not even a single sample does.
    """
    size = limit
    while not fits(size):
        smaller_parts(size)
        size //= 2
    return size


def fitting_parts(fits: Callable[[int], bool], share: int) -> int:
    """Into how many equal parts a batch must be split so that they fit, 1 where it need not.

    Args:
        fits: Whether a batch of so many does.
        share: Size of the batch.

    Raises:
        DeviceMemoryError: Not even a single sample does.
    """
    parts = 1
    while not fits(share // parts):
        parts *= smaller_parts(share // parts)
    return parts


class Trial:
    """Tries a forward and a backward pass, on all processes at once; the classifier is left as it was."""

    def __init__(self, fabric: Fabric, classifier: Classifier, images: Preprocessing) -> None:
        self._fabric, self._classifier, self._images = fabric, classifier, images

    def __call__(self, count: int) -> bool:
        """Whether so many images fit on each device, beside what the optimiser will keep."""
        (failed,) = FabricRanks(self._fabric).largest(int(not self._fits(count)))
        return not failed

    def _fits(self, count: int) -> bool:
        classifier, device = self._classifier, self._fabric.device
        statistics = [(buffer, buffer.clone()) for buffer in classifier.buffers()]
        try:
            self._pass(count)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            fits = False
        else:
            fits = True
        for parameter in classifier.parameters():
            parameter.grad = None
        with torch.no_grad():
            for buffer, before in statistics:
                buffer.copy_(before)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return fits

    def _pass(self, count: int) -> None:
        classifier, device = self._classifier, self._fabric.device
        trained = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
        kept = [torch.empty_like(parameter) for parameter in trained for _ in range(KEPT_COPIES)]
        if device.type == "cuda":
            spare = round(MARGIN * torch.cuda.get_device_properties(device).total_memory)
            kept.append(torch.empty(spare, dtype=torch.uint8, device=device))
        channels, (height, width) = self._images.num_channels, self._images.image_size
        kind = next(classifier.parameters()).dtype
        images = torch.zeros(IMAGE_COPIES, count, channels, height, width, dtype=kind, device=device)
        set_train_mode(classifier)
        with self._fabric.autocast():
            loss = classifier(images[0]).float().sum()
        loss.backward()
        del kept


class InParts:
    """Calls a network, in halves where its device has no memory for all of the inputs; what comes out is the same."""

    def __init__(self, network: Callable[[torch.Tensor], torch.Tensor], what: str) -> None:
        self._network, self._what, self._most = network, what, sys.maxsize

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the network gives for each of the inputs.

        Args:
            inputs: On the device, of shape (N, …).

        Returns:
            On the device, of shape (N, …).

        Raises:
            RuntimeError: There is no memory for one of them; or it is another error.
        """
        if len(inputs) > self._most:
            return torch.cat([self(part) for part in torch.split(inputs, self._most)])
        try:
            return self._network(inputs)
        except RuntimeError as error:
            if not is_out_of_memory(error) or len(inputs) < 2:
                raise
        self._most = -(-len(inputs) // 2)
        logger.warning("%s: %d images at once do not fit in memory; from here %d", self._what, len(inputs), self._most)
        return self(inputs)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Say what to do when a device has no memory left.

    Raises:
        DeviceMemoryError: It has not.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceMemoryError(
            "the device has too little memory: lower batch_size and raise gradient_accumulation_steps as much, "
            f"or take precision='bf16-mixed', a smaller model or image_size: {error}"
        ) from error
