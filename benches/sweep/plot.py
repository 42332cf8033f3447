"""Draws how much of each link is used, by the size of appends: plot.py JSON SVG.

The dots are measured, the lines are what the round trip leaves: size / (size + bandwidth * round
trip). Needs nothing but Python.
"""

import json
import math
import sys

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 190, 24, 48
COLOURS = ["#1b6ca8", "#d1495b", "#2e8b57", "#8d6a9f", "#c77d0a", "#444444"]
MIB = 1 << 20
FIRST, LAST = math.log2(MIB / 4), math.log2(32 * MIB)


def x(size):
    return LEFT + (math.log2(size) - FIRST) / (LAST - FIRST) * (WIDTH - LEFT - RIGHT)


def y(share):
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def label(size):
    return f"{size // 1024} KiB" if size < MIB else f"{size // MIB} MiB"


def text(at_x, at_y, what, anchor="middle", colour="#333"):
    return (
        f'<text x="{at_x:.1f}" y="{at_y:.1f}" text-anchor="{anchor}" fill="{colour}">{what}</text>'
    )


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for percent in range(0, 101, 20):
        at = y(percent / 100)
        out.append(
            f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#ddd"/>'
        )
        out.append(text(LEFT - 8, at + 4, f"{percent} %", "end"))
    sizes = [MIB // 4 << n for n in range(8)]
    for size in sizes:
        out.append(text(x(size), HEIGHT - BOTTOM + 18, label(size)))
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(text(middle, HEIGHT - 8, "bytes of an append"))
    out.append(text(LEFT, TOP - 8, "of the bandwidth is used", "start"))
    default = x(8 * MIB)
    out.append(
        f'<line x1="{default:.1f}" y1="{TOP}" x2="{default:.1f}" y2="{HEIGHT - BOTTOM}" '
        'stroke="#999" stroke-dasharray="3 3"/>'
    )
    out.append(text(default, TOP - 8, "default"))
    for number, case in enumerate(cases):
        colour = COLOURS[number % len(COLOURS)]
        bandwidth = case["bits_per_second"] / 8
        trip = case["round_trip_ms"] / 1e3
        steps = [2 ** (FIRST + step / 20) for step in range(int((LAST - FIRST) * 20) + 1)]
        points = " ".join(f"{x(s):.1f},{y(s / (s + bandwidth * trip)):.1f}" for s in steps)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        for run in case["runs"]:
            if not run["name"].isdigit():
                continue
            share = run["bytes"] / run["seconds"]["median"] / bandwidth
            at = (x(int(run["name"])), y(min(share, 1)))
            out.append(f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="3.5" fill="{colour}"/>')
        name = f"{trip * 1e3:.0f} ms, {bandwidth * 8 / 1e9:.0f} Gbit/s"
        at = TOP + 24 + number * 20
        out.append(f'<circle cx="{WIDTH - RIGHT + 24}" cy="{at - 4}" r="5" fill="{colour}"/>')
        out.append(text(WIDTH - RIGHT + 36, at, name, "start"))
    out.append("</svg>")
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")


main()
