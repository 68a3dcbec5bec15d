"""Files that survive a crash and are not believed before they are checked.

``atomic.py`` writes whole files or nothing, ``json_file.py`` reads JSON against a schema,
``checksums.py`` notices damage, and ``lock.py`` keeps two processes from one folder.
"""

from tinygrad_llm.files.atomic import (
    PARTIAL,
    file_sha256,
    remove_partials,
    sync_folder,
    user_path,
    write_atomically,
    write_folder_atomically,
)

__all__ = [
    "PARTIAL",
    "file_sha256",
    "remove_partials",
    "sync_folder",
    "user_path",
    "write_atomically",
    "write_folder_atomically",
]
