"""Sheets of heat maps: rows of images and, under each, where its embedding or its likeness comes from.

`questions.py` asks the service, `sheet.py` is what it finds, drawn as a PNG or told in one HTML page.
"""
