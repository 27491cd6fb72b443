"""Run README's first lines with the installed package, and check what they print."""

import contextlib
import io
import re
from importlib.resources import files
from pathlib import Path

readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
code, shown = re.search(
    r"```python\n(.*?)```\n\n```\n(.*?)\n```", readme, re.S
).groups()
with contextlib.redirect_stdout(io.StringIO()) as output:
    exec(code)
printed = output.getvalue().strip()
print(printed)
numbers = [list(map(int, re.findall(r"\d+", text))) for text in (printed, shown)]
# The last number, of active codes, is rounded and may differ from CPU to CPU.
if numbers[0][:2] != numbers[1][:2] or abs(numbers[0][2] - numbers[1][2]) > 1:
    raise SystemExit(f"README shows {shown!r}")
if not files("sklearn_sparsegen").joinpath("py.typed").is_file():
    raise SystemExit("the wheel has no py.typed")
