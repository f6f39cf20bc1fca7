"""Farnear service: a model bundle -> answers."""

import os

# ONNX Runtime would report to its makers what it runs. It reads this when it is imported, so it must stand before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
