"""The contract: all that turns a file into scores, and scores into labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Literal, get_args

import attrs

from lt_data.errors import TaskSpecError
from lt_data.images.decoding import Decoding
from lt_data.structuring import structure
from lt_data.validators import above, at_least, one_of

FORMAT = "lightly-train/task-spec"
VERSION = 1

TaskName = Literal["multiclass", "multilabel"]
Interpolation = Literal["bilinear", "bicubic"]
INTERPOLATIONS = get_args(Interpolation)
ResizeMode = Literal["crop", "letterbox", "squash"]
RESIZE_MODES = get_args(ResizeMode)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's training images by channel, RGB in [0, 1]; torchvision's and timm's figure."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's training images by channel, RGB in [0, 1]."""


@attrs.frozen
class Classes:
    """Class IDs and names in the order of the model's outputs, ignored classes left out.

    Attributes:
        ids: The user's class IDs; output k of the model means class `ids[k]`.
        names: The name of each class.

    Raises:
        ValueError: An ID or a name is used twice, or there is no class.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]

    def __attrs_post_init__(self) -> None:
        if len(self.ids) != len(self.names) or not self.ids:
            raise ValueError(f"need one name for each class ID, got {len(self.ids)} IDs and {len(self.names)} names")
        if len(set(self.ids)) != len(self.ids) or len(set(self.names)) != len(self.names):
            raise ValueError("class IDs and class names must each be unique")
        if any(not -(2**63) <= i < 2**63 for i in self.ids):
            raise ValueError("class IDs must fit 64 bits")

    @classmethod
    def from_mapping(cls, classes: Mapping[int, str]) -> Classes:
        """Classes of a dict from ID to name, in the dict's order."""
        return cls(tuple(classes), tuple(classes.values()))

    def __len__(self) -> int:
        return len(self.ids)

    def as_dict(self) -> dict[int, str]:
        """Name by class ID, in output order."""
        return dict(zip(self.ids, self.names, strict=True))


@attrs.frozen(kw_only=True)
class Preprocessing:
    """How an image file becomes the model's input; `lt_data.load_inputs` carries it out.

    Attributes:
        image_size: Height and width of the model's input in pixels.
        num_channels: Channels of the decoded image: 1 grey, 3 RGB, 4 RGBA, others as stored.
        resize_mode: `"crop"` keeps the centre, `"letterbox"` the whole image inside a border of the mean colour, and
            `"squash"` the whole image with another aspect ratio.
        resize_scale: Of `"crop"`: 1.143 keeps 1 / 1.143 of the side that fits tighter, the same field of view as
            resizing the shorter side to 1.143 x `image_size` and cropping the centre.
        interpolation: Filter of the antialiased resize.
        mean: Subtracted from each channel, of values in [0, 1].
        std: Divides each channel afterwards, above 0.
        decoding: How files whose values are not 8-bit become pixels.

    Raises:
        ValueError: A value is outside its range, or `mean` and `std` do not have one entry a channel.
    """

    image_size: tuple[int, int] = attrs.field(validator=at_least(1))
    num_channels: int = attrs.field(default=3, validator=at_least(1))
    resize_mode: ResizeMode = attrs.field(default="crop", validator=one_of(*RESIZE_MODES))
    resize_scale: float = attrs.field(default=1.143, validator=at_least(1.0))
    interpolation: Interpolation = attrs.field(default="bilinear", validator=one_of(*INTERPOLATIONS))
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = attrs.field(default=IMAGENET_STD, validator=above(0.0))
    decoding: Decoding = attrs.field(factory=Decoding)

    def __attrs_post_init__(self) -> None:
        size = self.image_size
        if not (isinstance(size, tuple) and len(size) == 2 and all(isinstance(side, int) for side in size)):
            raise ValueError(f"image_size must be (height, width) in whole pixels, got {size!r}")
        if not len(self.mean) == len(self.std) == self.num_channels:
            raise ValueError(
                f"mean and std need one entry for each of {self.num_channels} channels, "
                f"got {len(self.mean)} and {len(self.std)}"
            )


@attrs.frozen(kw_only=True)
class Calibration:
    """What labelled images, not trained on, said about a model's scores; by default nothing.

    Attributes:
        temperature: Divides the logits before softmax or sigmoid, above 0 (Guo et al. 2017, "On Calibration of Modern
            Neural Networks").
        thresholds: Of each class in output order, in (0, 1), for multilabel models: `threshold="auto"` returns the
            classes whose score is greater. None where none were fitted.

    Raises:
        ValueError: A value is outside its range.
    """

    temperature: float = attrs.field(default=1.0, validator=above(0.0))
    thresholds: tuple[float, ...] | None = None

    def __attrs_post_init__(self) -> None:
        if not math.isfinite(self.temperature):
            raise ValueError(f"temperature must be finite, got {self.temperature}")
        if not all(0.0 < threshold < 1.0 for threshold in self.thresholds or ()):
            raise ValueError("thresholds must be above 0 and below 1")


@attrs.frozen(kw_only=True)
class TaskSpec:
    """What a trained model does: its task, its classes, and how its input is made.

    It is written into every exported model and ONNX file, so `predict` and the edge runtime need nothing else.

    Attributes:
        task: `"multiclass"` (softmax, one class an image) or `"multilabel"` (sigmoid, any number).
        classes: IDs and names in output order.
        preprocessing: How an image becomes the model's input.
        calibration: How logits become probabilities, and which of these make a label with `threshold="auto"`.

    Raises:
        ValueError: There are thresholds, but not one for each class, or the task is multiclass.
    """

    task: TaskName
    classes: Classes
    preprocessing: Preprocessing
    calibration: Calibration = attrs.field(factory=Calibration)

    def __attrs_post_init__(self) -> None:
        thresholds = self.calibration.thresholds
        if thresholds is None:
            return
        if self.task != "multilabel":
            raise ValueError("calibration.thresholds are for multilabel; multiclass takes the classes of highest score")
        if len(thresholds) != len(self.classes):
            raise ValueError(
                f"calibration.thresholds need one entry for each of {len(self.classes)} classes, got {len(thresholds)}"
            )

    def to_json(self) -> str:
        """Versioned JSON, read back by `from_json`."""
        entries = tuple(_ClassEntry(i, name) for i, name in self.classes.as_dict().items())
        document = attrs.asdict(_Document(FORMAT, VERSION, self.task, entries, self.preprocessing, self.calibration))
        if self.calibration == Calibration():
            # Readers from before there was calibration refuse the key, and need not where it says nothing.
            del document["calibration"]
        return json.dumps(document, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> TaskSpec:
        """Read what `to_json` wrote.

        Raises:
            TaskSpecError: The text is damaged, foreign, or from a newer version of lt-data.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise TaskSpecError(f"this is no task description of lt-data: {error}") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise TaskSpecError(f"this is no task description of lt-data: key `format` must be {FORMAT!r}")
        if content.get("version") != VERSION:
            raise TaskSpecError(
                f"this lt-data reads task descriptions of version {VERSION}, not {content.get('version')!r}; "
                "install the lt-data that wrote it, or a newer one"
            )
        try:
            return structure(content, _Document, "task_spec").task_spec()
        except ValueError as error:
            raise TaskSpecError(str(error)) from error


@attrs.frozen
class _ClassEntry:
    id: int
    name: str


@attrs.frozen
class _Document:
    """The JSON of a TaskSpec."""

    format: str
    version: int
    task: TaskName
    classes: tuple[_ClassEntry, ...]
    preprocessing: Preprocessing
    calibration: Calibration = attrs.field(factory=Calibration)

    def task_spec(self) -> TaskSpec:
        classes = Classes(tuple(entry.id for entry in self.classes), tuple(entry.name for entry in self.classes))
        return TaskSpec(task=self.task, classes=classes, preprocessing=self.preprocessing, calibration=self.calibration)
