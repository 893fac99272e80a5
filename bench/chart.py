"""Draws a bar chart as SVG, for light and dark pages."""

from html import escape

WIDTH, LEFT, RIGHT, BAR, STEP, TOP = 900, 270, 220, 22, 34, 64
STYLE = """
    text { font: 14px system-ui, sans-serif; fill: #1f2328 }
    .title { font-size: 17px; font-weight: 600 }
    .small { font-size: 12px; fill: #59636e }
    .page { fill: #ffffff }
    .ours { fill: #0969da } .ceiling { fill: #afb8c1 } .peer { fill: #bf8700 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .small { fill: #9198a1 }
      .page { fill: #0d1117 }
      .ours { fill: #4493f8 } .ceiling { fill: #656c76 } .peer { fill: #d29922 }
    }
"""


def chart(title, subtitle, bars):
    """Returns the chart. A bar is a tuple of a name, a kind (a class of STYLE), a length, and a label."""
    longest = max(length for _, _, length, _ in bars)
    height = TOP + STEP * len(bars) + 12
    drawn = []
    for place, (name, kind, length, text) in enumerate(bars):
        top = TOP + STEP * place
        wide = max(1, length / longest * (WIDTH - LEFT - RIGHT))
        base = top + BAR * 0.72
        drawn += [
            f'  <text x="{LEFT - 12}" y="{base:.1f}" text-anchor="end">{escape(name)}</text>',
            f'  <rect class="{kind}" x="{LEFT}" y="{top}" width="{wide:.1f}" height="{BAR}" rx="2"/>',
            f'  <text x="{LEFT + wide + 8:.1f}" y="{base:.1f}">{escape(text)}</text>',
        ]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"  <title>{escape(title)}</title>",
        f"  <style>{STYLE}  </style>",
        '  <rect class="page" width="100%" height="100%" rx="6"/>',
        f'  <text class="title" x="20" y="28">{escape(title)}</text>',
        f'  <text class="small" x="20" y="48">{escape(subtitle)}</text>',
        *drawn,
        "</svg>\n",
    ])
