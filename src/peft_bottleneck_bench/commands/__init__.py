"""The commands of `peft-bottleneck`, one file each; `run` is in `cli.py`."""
