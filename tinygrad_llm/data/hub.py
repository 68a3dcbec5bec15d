"""Data sets of the Hugging Face hub, as Parquet shards that are downloaded one by one.

The hub converts every public data set to Parquet, on the branch refs/convert/parquet: a folder for
each configuration, in it a folder for each split, in it the shards 0000.parquet, 0001.parquet and
so on. Three kinds of HTTP requests are enough, so the hub's library is not needed:

    /api/datasets/OWNER/NAME/revision/refs%2Fconvert%2Fparquet    the commit
    /api/datasets/OWNER/NAME/tree/COMMIT/FOLDER                   folders; shards, sizes and sha256
    /datasets/OWNER/NAME/resolve/COMMIT/FOLDER/0000.parquet       a shard

The answers come from strangers: names are checked before they become paths, and a shard is used
only if it has the size and sha256 that the list says. Shards and the list stay in the cache.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from tinygrad_llm.data.cache import cache_folder
from tinygrad_llm.data.download import Progress, download, progress_bar
from tinygrad_llm.data.transfer import Refused, Unreachable, request
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.atomic import write_atomically
from tinygrad_llm.files.json_file import Text, Whole, check_json, parse_json, read_json
from tinygrad_llm.terminal import one_line

PREFIX = "hub:"
ENDPOINT = "https://huggingface.co"
TIMEOUT = 30.0  # seconds without a byte
LARGEST_SHARD = 16 << 30
LARGEST_ANSWER = 4 << 20  # bytes of an answer that is not a shard
SHOWN = 12  # names in a sentence
MOST_SHARDS = 1000  # the hub gives no more in one answer

_PARTIAL = "partial-"  # how the folder of a split begins of which only a part is converted
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}"
_SOURCE = re.compile(rf"hub:({_PART}/{_PART})(?:/({_PART}))?(?::({_PART}))?")
_PATH = Text(rf"{_PART}/{_PART}/{_PART}", like="CONFIG/SPLIT/0000.parquet")
_SIZE = Whole(1, LARGEST_SHARD)
_SHA256 = Text("[0-9a-f]{64}", like="a sha256")
_COMMIT = Text("[0-9a-f]{40}", like="a commit")
_REVISION = {"sha": _COMMIT, "gated?": object, ...: object}
_ENTRIES = [{"type": str, "path": str, ...: object}]
_FILE = {"path": _PATH, "size": _SIZE, "lfs": {"oid": _SHA256, ...: object}, ...: object}
_LIST = {"commit": _COMMIT, "shards": [{"path": _PATH, "size": _SIZE, "sha256": _SHA256}]}
_INSTEAD = "download its files by hand and name their folder"


class Shard(NamedTuple):
    """A Parquet file: its path in the data set, CONFIG/SPLIT/NAME, and what it must be."""

    path: str
    size: int
    sha256: str


class HubData(NamedTuple):
    """One split of the data set "OWNER/NAME" at one commit."""

    repository: str
    commit: str
    shards: list[Shard]

    @property
    def partial(self) -> bool:
        """Whether the hub has converted only the beginning, as of splits of many gigabytes."""
        return any(shard.path.split("/")[1].startswith(_PARTIAL) for shard in self.shards)

    def files(
        self, cache_dir: str | os.PathLike | None = None, progress: Progress | None = None
    ) -> Iterator[tuple[str, Path]]:
        """(name, path) of each shard, which is downloaded when its turn comes, or in the cache.

        ``progress`` and what is raised are those of ``download.fetch``.
        """
        folder = _folder(cache_dir, self.repository) / self.commit
        start = f"{_endpoint()}/datasets/{self.repository}/resolve/{self.commit}"
        for i, shard in enumerate(self.shards, 1):
            path = folder / shard.path
            label = f"downloading {self.repository}, shard {i} of {len(self.shards)}"
            silent = contextlib.nullcontext(progress or (lambda done, total: None))
            with silent if progress or path.is_file() else progress_bar(label) as bar:
                download(f"{start}/{quote(shard.path)}", path, shard.sha256, bar, size=shard.size)
            yield shard.path, path


def find_data(source: str, cache_dir: str | os.PathLike | None = None) -> HubData:
    """The split that "hub:OWNER/NAME[/CONFIG][:SPLIT]" names, at the hub's latest commit.

    Without CONFIG it is the only configuration, or the one named "default"; without SPLIT it is
    the only split, or "train". If the hub cannot be reached, or HF_HUB_OFFLINE is set, it is what
    it was the last time. Raises UserError for a name of another form, and for a data set that is
    not there, not public or not converted, or has no such configuration or split.
    """
    match = _SOURCE.fullmatch(source)
    if match is None:
        raise UserError(
            f"{source!r} is no name of a data set on the hub; expected hub:OWNER/NAME, "
            "hub:OWNER/NAME/CONFIG or hub:OWNER/NAME/CONFIG:SPLIT"
        )
    repository, config, split = match.groups()
    kept = _folder(cache_dir, repository) / f"{config or ''}@{split or ''}.json"
    try:
        if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON"):
            raise Unreachable(_endpoint(), "HF_HUB_OFFLINE is set")
        data = _ask(repository, config, split)
    except Unreachable as error:
        if kept.is_file():
            content = read_json(kept, _LIST, max_bytes=LARGEST_ANSWER, advice="delete it")
            shards = [Shard(**shard) for shard in content["shards"]]
            return HubData(repository, content["commit"], shards)
        raise UserError(
            f"the Hugging Face hub cannot be reached ({error.reason}), and {repository} is not in "
            "the cache: check the network, or set HF_ENDPOINT to a mirror"
        ) from None
    content = {"commit": data.commit, "shards": [shard._asdict() for shard in data.shards]}
    with contextlib.suppress(OSError):  # without it, it is only not there when there is no network
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, json.dumps(content).encode())
    return data


def _folder(cache_dir: str | os.PathLike | None, repository: str) -> Path:
    return cache_folder(cache_dir) / "downloads" / "hub" / repository


def _endpoint() -> str:
    """The address of the hub or, as the variable HF_ENDPOINT says, of a mirror."""
    endpoint = os.environ.get("HF_ENDPOINT") or ENDPOINT
    if not re.match(r"https?://[^/]", endpoint):
        raise UserError(
            f"HF_ENDPOINT is {endpoint!r}, expected an address with http:// or https://"
        )
    return endpoint.rstrip("/")


def _ask(repository: str, config: str | None, split: str | None) -> HubData:
    """What the hub says today; raises Unreachable if it says nothing."""
    branch = quote("refs/convert/parquet", safe="")
    try:
        revision = _answer(f"{repository}/revision/{branch}", _REVISION)
        if revision.get("gated"):
            raise UserError(_gated(repository))
        commit = revision["sha"]
        tree = f"{repository}/tree/{commit}"
        config = _choose("configuration", repository, tree, "", config, "default")
        folder = _choose("split", repository, tree, f"/{config}", split, "train")
        files = [
            entry
            for entry in _answer(f"{tree}/{quote(config)}/{quote(folder)}", _ENTRIES)
            if entry["type"] == "file" and entry["path"].endswith(".parquet")
        ]
        check_json(files, f"the hub's list of files of {repository}", [_FILE])
    except Refused as error:
        raise _sentence(error, repository) from None
    if not 0 < len(files) < MOST_SHARDS:
        raise UserError(
            f"{repository} has {len(files)} Parquet files for {config}:{folder}, expected 1 to "
            f"{MOST_SHARDS - 1}; {_INSTEAD}"
        )
    shards = [Shard(file["path"], file["size"], file["lfs"]["oid"]) for file in files]
    return HubData(repository, commit, sorted(shards))


def _choose(
    what: str, repository: str, tree: str, below: str, wanted: str | None, usual: str
) -> str:
    """The folder of a configuration or split: the one wanted, the only one, or the usual one."""
    entries = _answer(f"{tree}{quote(below)}", _ENTRIES)
    folders = [
        entry["path"].rpartition("/")[2] for entry in entries if entry["type"] == "directory"
    ]
    folders = [folder for folder in folders if re.fullmatch(_PART, folder)]
    names = {folder.removeprefix(_PARTIAL): folder for folder in folders}
    if not names:
        raise UserError(
            f"the hub has no {what} of the data set {repository} as Parquet; {_INSTEAD}"
        )
    if wanted is None:
        wanted = next(iter(names)) if len(names) == 1 else usual
    if wanted not in names:
        known = one_line(", ".join(list(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else ""))
        raise UserError(
            f"the data set {repository} has no {what} {wanted}; expected one of: {known}"
        )
    return names[wanted]


def _answer(path: str, schema: Any) -> Any:
    """The hub's answer to a question about a data set, which is JSON of this schema."""
    url = f"{_endpoint()}/api/datasets/{path}"
    data = bytearray()
    for _, piece in request(url, 0, None, TIMEOUT):
        data += piece
        if len(data) > LARGEST_ANSWER:
            raise UserError(f"{url} sends more than {LARGEST_ANSWER:,} bytes; {_INSTEAD}")
    return parse_json(bytes(data), f"the answer of {url}", schema)


def _gated(repository: str) -> str:
    return (
        f"the data set {repository} is only for those who have accepted its terms on "
        f"{ENDPOINT}/datasets/{repository}; {_INSTEAD}"
    )


def _sentence(error: Refused, repository: str) -> UserError:
    """The hub's refusal in a sentence; it does not say whether a data set is private or missing."""
    if error.word == "GatedRepo":
        return UserError(_gated(repository))
    if error.word in ("RevisionNotFound", "EntryNotFound"):
        return UserError(
            f"the hub has not converted the data set {repository} to Parquet; {_INSTEAD}"
        )
    if error.status in (401, 403, 404):
        return UserError(
            f"there is no data set {repository} on the Hugging Face hub, or it is private; check "
            f"the name, or {_INSTEAD}"
        )
    return error
