"""Looks for the image files that a table names."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lt_data.images.formats import IMAGE_SUFFIXES, is_image_name, may_be_dicom, sniff_dicom

KINDS = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
DICOM_SUFFIX = ".dcm"


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether a directory entry is, or leads to, a regular file; a loop of links does not."""
    try:
        return entry.is_file()
    except OSError:
        return False


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether a directory entry is, or leads to, a folder; a loop of links does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_dicom_name(name: str) -> bool:
    """Whether a file name has the ending of DICOM, in any case."""
    return name[-len(DICOM_SUFFIX) :].lower() == DICOM_SUFFIX


class ImageFinder:
    """Looks for files with one listing a folder.

    Attributes:
        dicom: The names found so far that are DICOM files.
        absolute: How many of the names found so far are absolute.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listings: dict[str, dict[str, bool]] = {}
        self.dicom: set[str] = set()
        self.absolute = 0

    def find(self, cell: str) -> str:
        """The name in `cell`, absolute or relative to the root, if it is an image file.

        Blanks around it are dropped, unless there is a file whose name has them.

        Raises:
            ValueError: It is empty, leaves the root, is not a file, or is not an image.
        """
        dicom = self._listed(cell)
        name = cell if dicom is not None else cell.strip()
        if os.path.isabs(name):  # noqa: PTH117 - a Path a row would take half of the scan's time
            self.absolute += 1
        elif ".." in name and Path(os.path.normpath(name)).parts[0] == "..":
            raise ValueError(f"{name!r} leaves the folder of the file; only absolute paths may")
        if self._is_dicom(name) if dicom is None else dicom:
            self.dicom.add(name)
        return name

    def _listed(self, name: str) -> bool | None:
        """Whether `name` is DICOM if it is the plain path of an image, None where that needs a closer look."""
        folder, _, file = name.rpartition("/")
        folder = folder if folder or not name.startswith("/") else "/"
        listing = self._listings.get(folder)
        if listing is None:
            listing = self._listings[folder] = self._images_in(folder)
        return listing.get(file)

    def _images_in(self, folder: str) -> dict[str, bool]:
        try:
            with os.scandir(self._root / folder) as entries:
                images = (entry for entry in entries if is_image_name(entry.name) and is_file(entry))
                return {entry.name: is_dicom_name(entry.name) for entry in images}
        except (OSError, ValueError):
            return {}

    def _is_dicom(self, name: str) -> bool:
        """The closer look: listings know neither other separators nor file systems that ignore case."""
        if not name or "\0" in name:
            raise ValueError("the image path is empty or holds a NUL character")
        path = self._root / name
        reason = _why_not_a_file(path)
        if reason is not None:
            raise ValueError(f"{name!r} is not a file below {self._root}{reason or self._meant(name)}")
        if is_image_name(name):
            return is_dicom_name(name)
        if may_be_dicom(name) and sniff_dicom(path):
            return True
        raise ValueError(f"{name!r} is not one of {KINDS}")

    def _meant(self, name: str) -> str:
        """What to add of a name that was written on Windows, or begins above the root."""
        parts = name.replace("\\", "/").split("/")
        for i in range(len(parts)):
            there = "/".join(parts[i:])
            if there != name and there and _why_not_a_file(self._root / there) is None:
                how = "paths are relative to the folder of the table" if i else "write / in place of \\"
                return f"; there is {there!r}: {how}"
        return ""


def _why_not_a_file(path: Path) -> str | None:
    """What to add to "is not a file": nothing if it is not there; None if it is a file after all."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return f": {getattr(error, 'strerror', None) or error}"
    return None if stat.S_ISREG(mode) else ": it is a folder, a pipe or a device"
