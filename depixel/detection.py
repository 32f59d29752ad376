"""Pixelated areas found by themselves: where they are, how large their blocks are, where the grid begins."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter, uniform_filter1d

LINE = 6.0
NF = 1.0
WINDOW = 17
ON_GRID = 3.0
STRIPS = (4, 8, 16, 32)
NOISES = (0.05, 1.0, 2.5)


class Evidence:
    """Log-likelihood ratios of every step between neighbouring pixels: within a block, between blocks, to a photo's."""

    def __init__(self, inside_x, line_x, inside_y, line_y):
        self.inside_x, self.line_x, self.inside_y, self.line_y = inside_x, line_x, inside_y, line_y
        self.height, self.width = inside_x.shape

    @classmethod
    def of(cls, gray: np.ndarray, noise_of, smooth: int = 1) -> "Evidence":
        across, down = np.zeros_like(gray), np.zeros_like(gray)
        across[:, 1:] = np.abs(np.diff(uniform_filter1d(gray, smooth, axis=0), axis=1))
        down[1:] = np.abs(np.diff(uniform_filter1d(gray, smooth, axis=1), axis=0))
        local = uniform_filter((across + down) / 2, WINDOW, mode="nearest")
        ratios = []
        for axis, step in enumerate((across, down)):
            if isinstance(noise_of, np.ndarray):
                noise = noise_level(noise_of, smooth, axis, gray.shape)
            else:
                noise = np.float32(noise_of)
            scale = np.maximum(local, noise)
            tail = np.log1p(step / scale)
            inside = np.log(scale / noise) + 3 * (tail - np.log1p(step / noise))
            line = -np.log(LINE) + 3 * (tail - np.log1p(step / (LINE * scale)))
            ratios += [inside, line]
        for r in ratios[:2]:
            r[:, 0] = 0
        for r in ratios[2:]:
            r[0] = 0
        return cls(*[r / smooth for r in ratios])

    def turned(self) -> "Evidence":
        return Evidence(self.inside_y.T, self.line_y.T, self.inside_x.T, self.line_x.T)


class Span(NamedTuple):
    """Along one axis: pixels [start, stop), lines at phase + k * size."""

    start: int
    stop: int
    size: int
    phase: int

    def lines(self):
        first = self.start + 1 + (self.phase - self.start - 1) % self.size
        return np.arange(first, self.stop, self.size)


def seeds(evidence: Evidence, least: float) -> list[tuple[float, int, int, int, int]]:
    """Strips of rows with isolated steps and little else: (score, y0, y1, x0, x1)."""
    found = []
    inside = np.concatenate([np.zeros((1, evidence.width), np.float32), np.cumsum(evidence.inside_x, axis=0, dtype=np.float32)])
    line = np.concatenate([np.zeros((1, evidence.width), np.float32), np.cumsum(evidence.line_x, axis=0, dtype=np.float32)])
    for high in STRIPS:
        if high > evidence.height:
            break
        tops = np.unique(np.append(np.arange(0, evidence.height - high + 1, high // 2), evidence.height - high))
        within, between = inside[tops + high] - inside[tops], line[tops + high] - line[tops]
        calm = within > 0
        alone = np.zeros_like(calm)
        alone[:, 1:-1] = calm[:, :-2] & calm[:, 2:]
        gain = np.where(alone, np.maximum(within, between - 2), within)
        total = np.cumsum(gain, axis=1)
        low = np.minimum(np.minimum.accumulate(total, axis=1), 0)
        rise = total - low
        if rise.max() < least:
            continue
        fresh = rise == 0
        group = np.cumsum(fresh, axis=1)
        for row in np.flatnonzero(rise.max(axis=1) >= least):
            cuts = np.flatnonzero(np.diff(group[row])) + 1
            begins = np.concatenate([[0], cuts])
            for begin, end in zip(begins, np.append(begins[1:], evidence.width), strict=True):
                part = rise[row, begin:end]
                peak = int(part.argmax())
                if part[peak] >= least:
                    found.append((float(part[peak]), int(tops[row]), int(tops[row]) + high, int(begin), int(begin) + peak + 1))
    return found


def noise_level(table, smooth, axis, shape):
    rng = np.random.default_rng(0)
    error = (rng.random((32, 32, 8, 8)) - 0.5) * table
    pixels = (BASIS.T @ error @ BASIS).transpose(0, 2, 1, 3).reshape(256, 256)
    step = np.diff(uniform_filter1d(pixels, smooth, axis=axis), axis=1 - axis, prepend=0)
    level = np.abs(step[8:-8, 8:-8]).reshape(30, 8, 30, 8).mean(axis=(0, 2)).astype(np.float32)
    return np.maximum(0.3, NF * np.tile(level, [-(-n // 8) for n in shape])[: shape[0], : shape[1]])


def combs(low: int, high: int) -> np.ndarray:
    sizes = np.arange(low, high + 1)
    b = np.repeat(sizes, sizes)
    p = np.concatenate([np.arange(s) for s in sizes])
    return np.stack([b, p], axis=1)


def fit(evidence: Evidence, rows: tuple[int, int], row_lines, low: int, high: int, sizes: tuple[int, int]):
    """The best span of columns [low, high) for given rows: (score, Span)."""
    y0, y1 = rows
    window = slice(low, high)
    n = high - low
    inside = evidence.inside_x[y0:y1, window].sum(axis=0, dtype=np.float64)
    line = evidence.line_x[y0:y1, window].sum(axis=0, dtype=np.float64)
    after = evidence.line_x[y0:y1, high].sum() if high < evidence.width else 0.0
    other = np.zeros(n)
    if row_lines is not None:
        other += evidence.inside_y[y0 + 1 : y1, window].sum(axis=0, dtype=np.float64)
        if len(row_lines):
            other += (evidence.line_y[row_lines, window].astype(float) - evidence.inside_y[row_lines, window]).sum(axis=0)
        other += evidence.line_y[y0, window]
        if y1 < evidence.height:
            other += evidence.line_y[y1, window]
    grids = combs(*sizes)
    columns = np.arange(low, high)
    gain = line - inside
    if len(grids) > 40 and n * len(grids) > 20000:
        worth = np.concatenate([np.bincount(columns % b, gain, minlength=b) / np.sqrt(1) for b in range(sizes[0], sizes[1] + 1)])
        grids = grids[np.argsort(-worth)[:40]]
    b, p = grids[:, :1], grids[:, 1:]
    on = (columns - p) % b == 0
    step = np.where(on, line, inside)
    total = np.zeros((len(grids), n + 1))
    np.cumsum(step + other, axis=1, out=total[:, 1:])
    start = total[:, :n] + step - line - ON_GRID * on
    least = np.minimum.accumulate(start, axis=1)
    ends = total[:, 2:] - least[:, : n - 1] + np.append(line[2:], after)
    best = int(ends.argmax())
    g, e = divmod(best, n - 1)
    s = int(start[g, : e + 1].argmin())
    return float(ends[g, e]), Span(low + s, low + e + 2, int(grids[g, 0]), int(grids[g, 1]))


def grow(evidence: Evidence, turned: Evidence, seed, most: int):
    """From a seed strip to the best rectangle."""
    _, y0, y1, x0, x1 = seed
    reach = max(16, 2 * (x1 - x0))
    lowx, highx = max(0, x0 - reach), min(evidence.width, x1 + reach)
    score, x = fit(evidence, (y0, y1), None, lowx, highx, (2, min(most, max(x1 - x0, 4))))
    y = None
    last = -np.inf
    for _ in range(6):
        nx = len(x.lines())
        reach = max(48, 3 * (x.stop - x.start))
        lowy, highy = max(0, (y.start if y else y0) - reach), min(evidence.height, (y.stop if y else y1) + reach)
        sizes = (x.size, x.size) if nx >= 2 else (2, most)
        score, y = fit(turned, (x.start, x.stop), x.lines(), lowy, highy, sizes)
        ny = len(y.lines())
        reach = max(48, 3 * (y.stop - y.start))
        lowx, highx = max(0, x.start - reach), min(evidence.width, x.stop + reach)
        sizes = (y.size, y.size) if ny >= 2 else (2, most)
        score, x = fit(evidence, (y.start, y.stop), y.lines(), lowx, highx, sizes)
        if score <= last + 1e-6:
            break
        last = score
    if not len(x.lines()) and len(y.lines()):
        x = x._replace(size=y.size)
    if x.size != y.size:
        # one of them shows one line or none: it follows the other
        if len(x.lines()) >= len(y.lines()):
            score, y = fit(turned, (x.start, x.stop), x.lines(), max(0, y.start - 8), min(evidence.height, y.stop + 8), (x.size, x.size))
        else:
            score, x = fit(evidence, (y.start, y.stop), y.lines(), max(0, x.start - 8), min(evidence.width, x.stop + 8), (y.size, y.size))
    return score, x, y


def features(evidence: Evidence, x: Span, y: Span) -> dict:
    rows, cols = slice(y.start, y.stop), slice(x.start, x.stop)
    gx = (evidence.line_x - evidence.inside_x)[rows]
    gy = (evidence.line_y - evidence.inside_y)[:, cols]
    lx, ly = gx[:, x.lines()], gy[y.lines()]
    sides = []
    if x.start > 0: sides.append(gx[:, x.start].mean())
    if x.stop < evidence.width: sides.append(gx[:, x.stop].mean())
    if y.start > 0: sides.append(gy[y.start].mean())
    if y.stop < evidence.height: sides.append(gy[y.stop].mean())
    inside = evidence.inside_x[rows, x.start + 1 : x.stop].sum() + evidence.inside_y[y.start + 1 : y.stop, cols].sum() - evidence.inside_x[rows, x.lines()].sum() - evidence.inside_y[y.lines(), cols].sum()
    n = (x.stop-x.start-1)*(y.stop-y.start)+(y.stop-y.start-1)*(x.stop-x.start) - lx.size - ly.size
    return {"lines": float(lx.sum() + ly.sum()), "nlines": lx.size + ly.size, "count": len(x.lines()) + len(y.lines()), "least_side": float(min(sides, default=0)), "sides": float(np.mean(sides)) if sides else 0.0, "inside": float(inside), "n": int(n)}


def candidates(gray: np.ndarray, noise: float, most: int = 64, tries: int = 8, least: float = 15.0, smooth: int = 1):
    evidence = Evidence.of(gray.astype(np.float32), noise, smooth)
    turned = evidence.turned()
    found = [(s[0], False, s) for s in seeds(evidence, least)] + [(s[0], True, s) for s in seeds(turned, least)]
    found.sort(key=lambda f: -f[0])
    results, used = [], []
    for _, flipped, s in found:
        box = (s[3], s[1], s[4], s[2]) if not flipped else (s[1], s[3], s[2], s[4])
        if any(min(box[2], u[2]) - max(box[0], u[0]) > 0.5 * (box[2] - box[0]) and min(box[3], u[3]) - max(box[1], u[1]) > 0.5 * (box[3] - box[1]) for u in used):
            continue
        a, b = (turned, evidence) if flipped else (evidence, turned)
        score, x, y = grow(a, b, s, most)
        if flipped:
            x, y = y, x
        used.append((x.start, y.start, x.stop, y.stop))
        used.append(box)
        results.append((score, x, y, features(evidence, x, y)))
        if len(results) >= tries:
            break
    results.sort(key=lambda r: -r[0])
    return results, len(found)


from scipy.fft import dct as _dct

BASIS = _dct(np.eye(8), axis=0, norm="ortho")  # rows are frequencies
_U = np.arange(8)
_F = _U[:, None] + _U[None, :]
with np.errstate(divide="ignore"):
    SPECTRUM = np.where(_F > 0, 7.5 / np.maximum(_F, 1) * np.exp(-_F / 12), 20.0)  # mean |coefficient| / mean step


class Box(NamedTuple):
    x0: int
    y0: int
    x1: int
    y1: int
    size: int
    px: int  # columns of the first block that are cut off, 0 .. size - 1
    py: int


def cuts(start, stop, size, cut):
    return np.unique(np.clip(np.arange(start - cut, stop, size), start, stop - 1))


class Jpeg:
    """How well an area's blocks explain the coefficients."""

    def __init__(self, gray: np.ndarray, table: np.ndarray):
        high, wide = (-(-n // 8) * 8 for n in gray.shape)
        self.height, self.width = gray.shape
        self.gray = gray.astype(np.float64)
        across, down = np.zeros_like(self.gray), np.zeros_like(self.gray)
        across[:, 1:] = np.abs(np.diff(gray.astype(float), axis=1))
        down[1:] = np.abs(np.diff(gray.astype(float), axis=0))
        scale = uniform_filter((across + down) / 2, WINDOW, mode="nearest")
        pad = np.pad(scale, ((0, high - self.height), (0, wide - self.width)), mode="edge")
        self.scale = pad.reshape(high // 8, 8, wide // 8, 8).mean(axis=(1, 3))
        self.noise = table.astype(float) ** 2 / 12 + 1 / 12

    def score(self, box: Box) -> float:
        bx0, by0, bx1, by1 = box.x0 // 8, box.y0 // 8, -(-box.x1 // 8), -(-box.y1 // 8)
        area = self.gray[box.y0 : box.y1, box.x0 : box.x1]
        cx, cy = cuts(box.x0, box.x1, box.size, box.px) - box.x0, cuts(box.y0, box.y1, box.size, box.py) - box.y0
        nx, ny = np.diff(np.append(cx, area.shape[1])), np.diff(np.append(cy, area.shape[0]))
        means = np.add.reduceat(np.add.reduceat(area, cy, axis=0), cx, axis=1) / (ny[:, None] * nx)
        left = np.zeros((8 * (by1 - by0), 8 * (bx1 - bx0)))
        left[box.y0 - 8 * by0 : box.y1 - 8 * by0, box.x0 - 8 * bx0 : box.x1 - 8 * bx0] = area - np.repeat(np.repeat(means, ny, axis=0), nx, axis=1)
        blocks = left.reshape(by1 - by0, 8, bx1 - bx0, 8).transpose(0, 2, 1, 3)
        found = BASIS @ blocks @ BASIS.T  # (by, bx, 8, 8)
        leak_x, leak_y = self._leak(box.x0, box.x1, bx0, bx1), self._leak(box.y0, box.y1, by0, by1)
        share_x = np.clip(np.minimum(box.x1, 8 * np.arange(bx0, bx1) + 8) - np.maximum(box.x0, 8 * np.arange(bx0, bx1)), 0, 8) / 8
        share_y = np.clip(np.minimum(box.y1, 8 * np.arange(by0, by1) + 8) - np.maximum(box.y0, 8 * np.arange(by0, by1)), 0, 8) / 8
        kept = _kept(box.size)
        natural = SPECTRUM**2 * (1 - np.minimum(kept[:, None] * kept, 1))
        v1 = leak_y[:, None] @ self.noise @ leak_x[None].transpose(0, 1, 3, 2)
        n0 = leak_y[:, None] @ natural @ leak_x[None].transpose(0, 1, 3, 2) * (self.scale[by0:by1, bx0:bx1] ** 2)[..., None, None]
        a0 = np.sqrt(v1 + n0)
        c = np.abs(found)
        one = np.sqrt(2 / np.pi / v1) * np.exp(-np.minimum(c * c / (2 * v1), 30))
        other = 2 / a0 * (1 + c / a0) ** -3
        w = n0 / (n0 + v1)
        ratio = -np.log(w * other / one + 1 - w)
        return float((np.maximum(ratio, -6).sum(axis=(2, 3)) * share_y[:, None] * share_x).sum())

    @staticmethod
    def _leak(start, stop, b0, b1):
        position = 8 * np.arange(b0, b1)[:, None] + np.arange(8)
        inside = (position >= start) & (position < stop)
        return (BASIS[None] * inside[:, None, :] @ BASIS.T) ** 2

    def refine(self, box: Box, most: int) -> tuple[float, Box]:
        known = {}

        def worth(b: Box) -> float:
            if b not in known:
                ok = 0 <= b.x0 and 0 <= b.y0 and b.x1 <= self.width and b.y1 <= self.height and min(b.x1 - b.x0, b.y1 - b.y0) >= 2 and 2 <= b.size <= most
                known[b] = self.score(b) - 3 * (b.px != 0) - 3 * (b.py != 0) if ok else -np.inf
            return known[b]

        best = worth(box)
        for _ in range(40):
            options = neighbours(box)
            values = [worth(o) for o in options]
            top = int(np.argmax(values))
            if values[top] <= best + 1e-9:
                break
            best, box = values[top], options[top]
        return best, box


def neighbours(b: Box) -> list[Box]:
    out = []
    for d in (-4, -2, -1, 1, 2, 4):
        out += [
            b._replace(x0=b.x0 + d, px=(b.px + d) % b.size), b._replace(y0=b.y0 + d, py=(b.py + d) % b.size),
            b._replace(x0=b.x0 + d), b._replace(y0=b.y0 + d),
            b._replace(x1=b.x1 + d), b._replace(y1=b.y1 + d),
            b._replace(x0=b.x0 + d, x1=b.x1 + d), b._replace(y0=b.y0 + d, y1=b.y1 + d),
        ]
        if b.size + d >= 2:
            out.append(b._replace(size=b.size + d, px=0, py=0))
            out.append(b._replace(size=b.size + d, px=b.px % (b.size + d), py=b.py % (b.size + d)))
    for d in (-2, -1, 1, 2):
        for e in (-2, -1, 1, 2):
            out.append(b._replace(x0=b.x0 + d, y0=b.y0 + e))
    out += [b._replace(px=(b.px + d) % b.size) for d in (-2, -1, 1, 2)] + [b._replace(py=(b.py + d) % b.size) for d in (-2, -1, 1, 2)]
    out += [b._replace(px=0), b._replace(py=0), b._replace(px=0, py=0), b._replace(size=max(2, b.size // 2), px=0, py=0), b._replace(size=b.size * 2, px=0, py=0)]
    return out


def _kept(size: int) -> np.ndarray:
    """(8,) the share of a cosine's energy along one axis that the means of blocks keep."""
    angle = np.pi * _U / 16
    with np.errstate(invalid="ignore"):
        kept = np.sin(size * angle) / (size * np.sin(angle))
    kept[0] = 1
    return kept**2


def patterns(count: int, sizes: tuple[int, int]):
    """Grids (G, 2) size and phase; which pattern each of `count` JPEG blocks in a row shows (G, count); patterns (P, 8, 8) projections."""
    grids = combs(*sizes)
    columns = np.arange(8 * count).reshape(count, 8)
    on = (columns[None] - grids[:, 1, None, None]) % grids[:, 0, None, None] == 0  # (G, count, 8)
    on[:, :, 0] = True
    codes, which = np.unique((on * 2 ** np.arange(8)).sum(axis=2), return_inverse=True)
    made = []
    for code in codes:
        lines = [i for i in range(8) if code >> i & 1] + [8]
        project = np.zeros((8, 8))
        for a, b in zip(lines[:-1], lines[1:], strict=True):
            project[a:b, a:b] = 1 / (b - a)
        made.append(project)
    return grids, which.reshape(on.shape[:2]), np.array(made)


def local_ratios(pixels: np.ndarray, scale: np.ndarray, noise: np.ndarray, projections: np.ndarray) -> np.ndarray:
    """Log-likelihood ratios of every JPEG block being constant along x between lines.

    pixels (ny, nx, 8, 8), scale (ny, nx), noise (8, 8), projections (P, 8, 8) -> (P, 2 * ny, nx) for upper and lower halves
    """
    subsets = [slice(0, 8), slice(0, 4), slice(4, 8)]
    out = []
    for project in projections:
        rest = np.eye(8) - project
        # what is left of natural coefficients and of noise: E[c c^T] transformed; rows of BASIS are frequencies
        turn_x = (BASIS @ rest @ BASIS.T) ** 2  # frequencies along x after projection
        left = pixels @ rest
        values = []
        for rows in subsets:
            mask = np.zeros(8)
            mask[rows] = 1
            turn_y = (BASIS * mask @ BASIS.T) ** 2
            v1 = turn_y @ noise @ turn_x.T + 0.05
            n0 = (turn_y @ SPECTRUM**2 @ turn_x.T) * (scale**2)[..., None, None]
            c = np.abs(BASIS @ (left * mask[:, None]) @ BASIS.T)
            a0 = np.sqrt(v1 + n0)
            one = np.sqrt(2 / np.pi / v1) * np.exp(-np.minimum(c * c / (2 * v1), 30))
            other = 2 / a0 * (1 + c / a0) ** -3
            w = n0 / (n0 + v1)
            ratio = np.maximum(-np.log(w * other / one + 1 - w), -6)
            rank = np.trace(rest) / 8 * mask.mean()
            values.append(ratio.sum(axis=(2, 3)) * rank)
        half = np.maximum(np.stack(values[1:], axis=1), values[0][:, None] / 2)  # (ny, 2, nx)
        out.append(half.reshape(-1, half.shape[2]))
    return np.array(out)


def best_rectangles(maps: np.ndarray, top: int):
    """maps (G, R, C): the best rectangle of each G: (value, g, r0, r1, c0, c1), best first."""
    count, rows, columns = maps.shape
    total = np.zeros((count, rows + 1, columns))
    np.cumsum(maps, axis=1, out=total[:, 1:])
    r0, r1 = np.triu_indices(rows + 1, 1)
    strips = total[:, r1] - total[:, r0]  # (G, K, C)
    run = np.zeros((count, len(r0), columns + 1))
    np.cumsum(strips, axis=2, out=run[:, :, 1:])
    low = np.minimum.accumulate(run, axis=2)
    rise = run - low
    flat = rise.reshape(count, -1)
    best = flat.argmax(axis=1)
    values = flat[np.arange(count), best]
    found = []
    for g in np.argsort(-values)[:top]:
        k, c1 = divmod(int(best[g]), columns + 1)
        c0 = int(run[g, k, : c1 + 1].argmin())
        if c1 > c0:
            found.append((float(values[g]), int(g), int(r0[k]), int(r1[k]), c0, c1))
    return found


def starts(jpeg: Jpeg, sizes=(4, 16), top=24) -> list[Box]:
    """Boxes to start from, for a tile of at most about 128 pixels."""
    high, wide = jpeg.height // 8, jpeg.width // 8
    tile = jpeg.gray[: 8 * high, : 8 * wide].reshape(high, 8, wide, 8).transpose(0, 2, 1, 3)
    scale = jpeg.scale[:high, :wide]
    out = []
    gx, wx, px = patterns(wide, sizes)
    gy, wy, py = patterns(high, sizes)
    across = local_ratios(tile, scale, jpeg.noise, px)  # (P, 2 high, wide)
    down = local_ratios(tile.transpose(1, 0, 3, 2), scale.T, jpeg.noise.T, py)  # (P, 2 wide, high)
    maps_x = across[wx, :, np.arange(wide)].transpose(0, 2, 1)
    maps_y = down[wy, :, np.arange(high)].transpose(0, 2, 1)
    for maps, others, grids, other_grids, flipped in ((maps_x, maps_y, gx, gy, False), (maps_y, maps_x, gy, gx, True)):
        for _, g, r0, r1, c0, c1 in best_rectangles(maps, top):
            size, phase = map(int, grids[g])
            y0, y1, x0, x1 = 4 * r0, 4 * r1, 8 * c0, 8 * c1
            same = np.flatnonzero(other_grids[:, 0] == size)
            # others: (G', halves along this axis, blocks along the other)
            worth = others[same][:, 2 * c0 : 2 * c1, r0 // 2 : -(-r1 // 2)].sum(axis=(1, 2))
            for k in np.argsort(-worth)[:2]:
                other = int(other_grids[same[k], 1])
                box = (x0, y0, x1, y1, size, (x0 - phase) % size, (y0 - other) % size)
                out.append(Box(*box) if not flipped else Box(y0, x0, y1, x1, size, (y0 - other) % size, (x0 - phase) % size))
    return out
