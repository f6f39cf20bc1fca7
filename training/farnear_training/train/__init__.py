"""Labelled images -> a trained network, with checkpoints to resume from bit for bit; `loop.py` tells the story."""
