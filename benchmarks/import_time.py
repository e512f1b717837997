"""What importing this package adds to PEFT's own import, in fresh interpreters.

python benchmarks/import_time.py
"""

from __future__ import annotations

from course import write

from peft_bottleneck_bench.speed.measuring import import_seconds

TURNS = 9

if __name__ == "__main__":
    write("import_time", **import_seconds(TURNS))
