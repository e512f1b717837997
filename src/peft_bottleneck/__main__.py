"""`python -m peft_bottleneck`: the command, for launchers that start modules."""

import sys

from peft_bottleneck_bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
