"""Converts PEFT adapters with llama.cpp's own script, all in one process: importing torch for each would take minutes.

    python convert_adapters.py CONVERT_LORA_TO_GGUF.py BASE_FOLDER OUTPUT_FOLDER ADAPTER_FOLDER...
"""

import runpy
import sys
from pathlib import Path


def main() -> None:
    converter, base, target, *adapters = sys.argv[1:]
    sys.path.insert(0, str(Path(converter).parent))
    for adapter in adapters:
        file = Path(target) / f"{Path(adapter).name}.gguf"
        sys.argv = [converter, "--base", base, "--outtype", "f16", "--outfile", str(file), adapter]
        runpy.run_path(converter, run_name="__main__")


if __name__ == "__main__":
    main()
