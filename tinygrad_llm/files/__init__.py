"""Files that survive a crash, and are checked before they are trusted.

``atomic.py`` writes a whole file or nothing, ``regular.py`` opens only what is a file,
``json_file.py`` reads JSON against a schema, ``tables.py`` reads rows of named columns,
``checksums.py`` detects damage, ``lock.py`` keeps two processes out of one folder, and
``mapping.py`` gives the memory of mapped files back.
"""

from tinygrad_llm.files.atomic import (
    PARTIAL,
    atomic_file,
    file_sha256,
    remove_partials,
    sync_folder,
    user_path,
    write_atomically,
    write_folder_atomically,
)

__all__ = [
    "PARTIAL",
    "atomic_file",
    "file_sha256",
    "remove_partials",
    "sync_folder",
    "user_path",
    "write_atomically",
    "write_folder_atomically",
]
