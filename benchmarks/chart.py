# SPDX-License-Identifier: MIT
"""Bars of what compare.py measured, as SVG: what README shows of the tables in docs/performance.md."""
from xml.sax.saxutils import escape

LINE, LEFT, WIDTH, RIGHT = 30, 250, 300, 170
OURS, THEIRS = "#2f6fab", "#b9bec4"


def label(c):
    """Name and precision as one reads them."""
    name = c["name"].replace("channels_last_compile", "compiled").replace(" channels_last", "").replace("PyTorch compiled", "torch.compile")
    return f"{name}, {'float32' if c['precision'] == 'fp32' else 'bfloat16'}"


def bars(title, contenders):
    """One group: a title, and a bar for each contender, its length the median time."""
    most = max(c["summary"]["median_s"] for c in contenders)
    for i, c in enumerate([None, *sorted(contenders, key=lambda c: c["summary"]["median_s"])]):
        y = i * LINE
        if c is None:
            yield f'<text x="0" y="{y + 18}" class="title">{escape(title)}</text>'
            continue
        s = c["summary"]
        length = max(2, s["median_s"] / most * WIDTH)
        own = c["name"] == "libnn"
        weight = "own" if own else "other"
        yield f'<text x="{LEFT - 8}" y="{y + 18}" text-anchor="end" class="{weight}">{escape(label(c))}</text>'
        yield f'<rect x="{LEFT}" y="{y + 5}" width="{length:.1f}" height="18" rx="2" fill="{OURS if own else THEIRS}"/>'
        yield f'<text x="{LEFT + length + 8:.1f}" y="{y + 18}">{s["median_s"] * 1e3:.0f} ms, {s["peak_rss_bytes"] / 1e6:.0f} MB</text>'


def grouped(reports, what, model, batch, size):
    """Of all reports the contenders of one kind of case, in any precision, each once; not where libnn ran alone."""
    found = {}
    for report in reports:
        for case in report["cases"]:
            if (case["what"], case["model"], case["batch_size"], case["image_size"]) == (what, model, batch, size):
                for c in case["contenders"]:
                    if "summary" in c and len(case["contenders"]) > 1:
                        found.setdefault(label(c), c)
    return list(found.values())


def draw(reports, cases):
    """The whole picture: a group for each case that the reports have, cases being (title, what, model, batch, size)."""
    body, y = [], 12
    for title, *case in cases:
        contenders = grouped(reports, *case)
        if not contenders:
            continue
        body += [f'<g transform="translate(16 {y})">', *bars(title, contenders), "</g>"]
        y += (len(contenders) + 1) * LINE + 14
    width = LEFT + WIDTH + RIGHT
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img">',
        "<style>text { font: 14px sans-serif; fill: #24292f } .title, .own { font-weight: bold }</style>",
        f'<rect width="{width}" height="{y}" rx="6" fill="#ffffff"/>', *body, "</svg>"]) + "\n"
