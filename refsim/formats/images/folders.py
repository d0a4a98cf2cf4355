"""Folders of image files, as publishers of data sets lay them out, and the labels that belong to them.

Class folders; `train/` and `val/` (or `test/`) of class folders; Tiny-ImageNet (`val/val_annotations.txt`, class
folders with `images/` in them); ImageNet's flat `val/` with a file of labels beside it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refsim.exceptions import DataError, FormatError
from refsim.formats.images.files import IMAGE_SUFFIXES
from refsim.formats.untrusted.opening import read_text
from refsim.formats.untrusted.text import clean

_SPLITS = {"test": ("test", "val", "validation"), "train": ("train", "training")}
_LABEL_FILES = ("val_annotations.txt", "val.txt", "val_labels.txt", "labels.txt", "LOC_val_solution.csv")
_IMAGES = "images"
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class LabelledFiles:
    """Image files with the numbers of their classes, and the names of these; "" where a number has none.

    guessed
        Whether the order of the classes is that of the names, and nobody said so.
    """

    files: list[tuple[Path, int]]
    classes: tuple[str, ...]
    guessed: bool


def find_images(path: Path, split: str, classes: Sequence[str]) -> LabelledFiles | None:
    """The images of one part of a data set; None: there are none here.

    Parameters
    ----------
    split
        "test" or "train".
    classes
        The network's names; class folders are numbered in this order if they all have such a name.

    Raises
    ------
    DataError
        Images without labels, or labels that cannot be read.
    """
    named = [path / name for name in _SPLITS[split] if (path / name).is_dir()]
    unlabelled: Path | None = None
    for root in named or [path]:
        found = _label_file(root)
        if found is not None:
            return _listed(root, found, classes)
        folders = _class_folders(root)
        # A test part without labels holds its images flat, or all in one folder.
        if set(folders) == {_IMAGES} or (not folders and _images_in(root)):
            unlabelled = root
        elif folders:
            return _in_folders(folders, classes)
    if unlabelled is not None:
        raise DataError(
            f"{clean(str(unlabelled), None)}: images without labels; expected class folders, or a file of labels, "
            f"{', '.join(_LABEL_FILES)}, in it or beside it"
        )
    return None


def in_order(names: Sequence[str]) -> list[str]:
    """Names as classes are numbered: numbers by their value, other names alphabetically."""
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and not file.is_dir())


def _class_folders(root: Path) -> dict[str, list[Path]]:
    """The images in each folder, or in `images/` in it."""
    found: dict[str, list[Path]] = {}
    for folder in root.iterdir():
        if folder.is_dir():
            inside = _images_in(folder)
            if not inside and (folder / _IMAGES).is_dir():
                inside = _images_in(folder / _IMAGES)
            if inside:
                found[folder.name] = inside
    return found


def _in_folders(folders: dict[str, list[Path]], classes: Sequence[str]) -> LabelledFiles:
    # The order of the names is a guess; the network's own names are not.
    known = bool(classes) and set(folders) <= set(classes)
    names = tuple(classes) if known else tuple(in_order(list(folders)))
    files = [(file, label) for label, name in enumerate(names) for file in folders.get(name, [])]
    return LabelledFiles(files=files, classes=names, guessed=not known)


def _label_file(root: Path) -> Path | None:
    return next(
        (place / name for place in (root, root.parent) for name in _LABEL_FILES if (place / name).is_file()), None
    )


def _listed(root: Path, labels: Path, classes: Sequence[str]) -> LabelledFiles:
    """The images that a file of labels lists: by a number, or by the name of a class."""
    where = clean(str(labels), None)
    rows = _rows(labels, where)
    numeric = all(label.isdecimal() and len(label) < 10 for label in rows.values())
    names: tuple[str, ...] = ()
    known = True
    if not numeric:
        present = set(rows.values())
        known = bool(classes) and present <= set(classes)
        # All classes of the data set stand in its training part; a part of it may lack some.
        training = next((root.parent / name for name in _SPLITS["train"] if (root.parent / name).is_dir()), None)
        beside = {folder.name for folder in training.iterdir() if folder.is_dir()} if training is not None else set()
        names = tuple(classes) if known else tuple(in_order(list(present | beside)))
    numbers = {name: number for number, name in enumerate(names)}
    folder = root / _IMAGES if (root / _IMAGES).is_dir() else root
    files = []
    for file in _images_in(folder):
        label = rows.get(file.name, rows.get(file.stem))
        if label is None:
            raise DataError(f"{where}: {clean(file.name)} is not in it")
        files.append((file, int(label) if numeric else numbers[label]))
    if not files:
        raise DataError(f"{clean(str(folder), None)}: no images, and {labels.name} lists {len(rows)}")
    return LabelledFiles(files=files, classes=names, guessed=not known)


def _rows(path: Path, where: str) -> dict[str, str]:
    """By image, its label: the first two cells of each line, which commas, tabs or spaces divide."""
    try:
        lines = read_text(path, what="file of labels", most=_MOST_BYTES).splitlines()
    except FormatError as error:
        raise DataError(str(error)) from None
    rows: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        cells = next(csv.reader(io.StringIO(line)), []) if path.suffix == ".csv" else line.split()
        if path.suffix == ".csv" and len(cells) > 1:
            cells = [cells[0], *cells[1].split()]
        if not cells or (number == 1 and path.suffix == ".csv"):
            continue
        if len(cells) < 2:
            raise DataError(
                f"{where}: line {number} has no image and label; a list of labels alone numbers classes in an order "
                "that it does not say"
            )
        rows[cells[0]] = cells[1]
    if not rows:
        raise DataError(f"{where}: lists no images")
    return rows
