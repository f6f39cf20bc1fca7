"""How the demo's classes are drawn: one blue and one orange scale, darker with the grade of the defect.

Both stay apart for colour-blind readers, and the wafer types are told apart by marker too.
"""

from farnear.report.colours import Style

CLASS_STYLES = {
    "mono-0.00": Style(colour="#9ecae1", marker="o"),
    "mono-0.33": Style(colour="#4a98c9", marker="o"),
    "mono-0.67": Style(colour="#1f5fa8", marker="o"),
    "mono-1.00": Style(colour="#08264f", marker="o"),
    "poly-0.00": Style(colour="#fdc692", marker="^"),
    "poly-0.33": Style(colour="#f5862f", marker="^"),
    "poly-0.67": Style(colour="#c24a04", marker="^"),
    "poly-1.00": Style(colour="#6b2503", marker="^"),
}
