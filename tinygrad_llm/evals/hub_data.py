"""Data sets of the Hugging Face hub, for tasks whose files are not named with --data."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.rows import data_files
from tinygrad_llm.pretrained.hub import download_dataset


class HubData(NamedTuple):
    """A data set, and its files of each split, all of which are read: without their endings.

    revision: a commit, so that the data is the same for everyone.
    """

    name: str
    revision: str
    test: tuple[str, ...]
    train: tuple[str, ...] = ()

    def files(self, folder: Path, split: str) -> list[Path]:
        """The files of a split in ``folder``; none if one of them is missing."""
        found = [data_files(folder, [name]) for name in self.names(split)]
        return [file for files in found for file in files] if all(found) else []

    def names(self, split: str) -> tuple[str, ...]:
        """The names of the files of a split, "test" or "train"."""
        return self.test if split == "test" else self.train

    def download(self, splits: Sequence[str]) -> Path:
        """The folder with the files of these splits, downloaded first if need be.

        Raises UserError if the hub cannot be reached and they are not in its cache.
        """
        names = [name for split in splits for name in self.names(split)]
        patterns = [f"{name}{ending}" for name in names for ending in (".parquet", "-*.parquet")]
        folder = download_dataset(self.name, self.revision, patterns)
        for name in names:
            if not data_files(folder, [name]):
                raise UserError(
                    f"the file {name} of the data set {self.name} is not in {folder}, and the "
                    "Hugging Face hub has not sent it"
                )
        return folder
