"""The chart of README.md: messages a second for each client and delay, on a log scale, with the quartiles. Plain SVG."""

import math
from xml.sax.saxutils import escape

from report import number, quartiles

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 960, 230, 90, 64, 44
BAR, GAP = 15, 16
# Light and dark backgrounds both: what shows the image decides.
STYLE = """
text { font: 15px sans-serif; fill: #24292f }
.title { font-size: 18px; font-weight: bold }
.value { font-size: 13px }
.grid { stroke: #8c959f; stroke-opacity: .35 }
.whisker { stroke: #24292f; stroke-width: 1.5 }
.d0 { fill: #0a6ebd } .d1 { fill: #4f9d69 } .d2 { fill: #c9822b }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.whisker { stroke: #e6edf3 }
.d0 { fill: #58a6e8 } .d1 { fill: #6fc18c } .d2 { fill: #e0a458 }
}
"""


def position(value, low, high):
    share = (math.log10(value) - low) / (high - low)
    return LEFT + max(0.0, share) * (WIDTH - LEFT - RIGHT)


def axis(low, high, bottom):
    for power in range(low, high + 1):
        x = position(10**power, low, high)
        label = f"{10**power:,}" if power >= 0 else f"{10**power:g}"
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{label}</text>'


def bar(results, kind, y, low, high):
    start, middle, end = quartiles([one.rate for one in results])
    left, x = position(10**low, low, high), position(middle, low, high)
    a, b = position(start, low, high), position(end, low, high)
    centre = y + BAR / 2
    yield f'<rect class="d{kind}" x="{left:.1f}" y="{y}" width="{x - left:.1f}" height="{BAR - 2}"/>'
    yield f'<path class="whisker" fill="none" d="M{a:.1f} {centre - 4}v7M{b:.1f} {centre - 4}v7M{a:.1f} {centre - 0.5}H{b:.1f}"/>'
    yield f'<text class="value" x="{max(x, b) + 7:.1f}" y="{y + BAR - 3}">{number(middle)}</text>'


def legend(delays):
    for kind, delay in enumerate(delays):
        x = LEFT + kind * 170
        yield f'<rect class="d{kind}" x="{x}" y="36" width="14" height="14"/>'
        yield f'<text x="{x + 20}" y="48">{delay} ms round trip</text>'


def draw(figures, delays):
    """figures: title → delay → results, or the reason that there are none. Returns the SVG."""
    shown = {title: by for title, by in figures.items() if not all(isinstance(r, str) for r in by.values())}
    rates = [one.rate for by in shown.values() for r in by.values() if not isinstance(r, str) for one in r]
    low, high = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)))
    bottom = TOP + len(shown) * (BAR * len(delays) + GAP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + BOTTOM}" role="img">',
             f"<style>{STYLE}</style>",
             '<text class="title" x="16" y="24">Messages a second from a queue to the smarthost (log scale; quartiles)</text>',
             *legend(delays), *axis(low, high, bottom)]
    y = TOP + GAP // 2
    for title, by_delay in shown.items():
        middle = y + BAR * len(delays) / 2 + 5
        parts.append(f'<text x="{LEFT - 12}" y="{middle}" text-anchor="end">{escape(title)}</text>')
        for kind, delay in enumerate(delays):
            if not isinstance(by_delay[delay], str):
                parts += bar(by_delay[delay], kind, y, low, high)
            y += BAR
        y += GAP
    return "\n".join([*parts, "</svg>", ""])
