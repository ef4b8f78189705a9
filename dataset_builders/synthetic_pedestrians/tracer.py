"""Sphere tracing of a union of signed distance primitives, under parallel rays, whose grid may narrow downwards.

The nearest surface of a union along a ray is the nearest of its members' surfaces. So each primitive is marched only
over the pixels of its own projected box, all (primitive, pixel) pairs together as flat arrays, and the nearest hit of
each pixel is kept. This costs a small share of marching every ray against every primitive.
"""

from dataclasses import dataclass

import numpy as np

MAX_STEPS = 28
HIT = 0.0015  # metres


@dataclass
class Surface:
    """What the pixels show. ``solid`` (H, W) int32 is the primitive's number or -1; the other arrays list the M pixels
    that show something: ``pixel`` (M,) flat indices, ``depth`` (M,) metres towards the camera, ``local`` (M, 3) scaled
    coordinates in the primitive's frame, ``normal`` (M, 3) unit vectors in the camera's frame."""

    solid: np.ndarray
    pixel: np.ndarray
    depth: np.ndarray
    local: np.ndarray
    normal: np.ndarray


def _offsets(half, major, floor, is_box, x, y, z):
    """Vector from the core of each pair's primitive to a local point, and the clamped height; all (P,) arrays."""
    h = np.minimum(np.maximum(y, -half[1]), half[1])
    ey = y - h
    if is_box:
        hx, hz = half[0], half[2]
        return x - np.minimum(np.maximum(x, -hx), hx), ey, z - np.minimum(np.maximum(z, -hz), hz), h
    rho = np.sqrt(x * x + z * z) + np.float32(1e-9)
    reach = np.maximum(rho - major, floor) / rho
    return x * reach, ey, z * reach, h


def _march(solids, is_box, n, origin, way, far):
    """March pairs of one formula.

    A ray stays straight in a primitive's scaled frame, where the distance is not distorted; so a step is the distance
    there over the ray's speed there.

    Args:
        n: (P,) primitive of each pair; ``origin`` 3 x (P,), where its ray starts, in the primitive's scaled frame.
        way: 3 x (N,) ray direction in each primitive's scaled frame, per metre travelled.
        far: (N,) distance (m) at which a ray has left the primitive.

    Returns:
        indices of the pairs that hit and how far (m) their rays came, both (K,)
    """
    speed = np.sqrt(way[0] ** 2 + way[1] ** 2 + way[2] ** 2)
    pace = 1 / (speed * np.sqrt(1 + solids.taper**2))
    own = (solids.half[:, 0], solids.half[:, 2]) if is_box else (solids.major, solids.floor)  # what its formula needs
    tables = [np.ascontiguousarray(table) for table in (solids.half[:, 1], *own)]
    tables += [*way, solids.radius, solids.taper, solids.clip, pace, far]
    alive = np.arange(len(n))
    t = np.zeros(len(n), np.float32)
    before = np.full(len(n), np.inf, np.float32)
    columns = [n, *origin, t, before]
    hit_pairs, hit_t = [], []
    for step in range(MAX_STEPS):
        n, x0, y0, z0, t, before = columns
        hy, *own, vx, vy, vz, radius, taper, clip, factor, limit = (table.take(n) for table in tables)
        half = (own[0], hy, own[1]) if is_box else (None, hy, None)
        major, floor = (None, 0.0) if is_box else own
        y = y0 + t * vy
        ex, ey, ez, h = _offsets(half, major, floor, is_box, x0 + t * vx, y, z0 + t * vz)
        d = np.sqrt(ex * ex + ey * ey + ez * ez) - (radius + taper * h)
        d = np.maximum(d, clip - y) * factor
        hit = d < (HIT if step < MAX_STEPS - 1 else 4 * HIT)
        some = np.flatnonzero(hit)
        if len(some):
            hit_pairs.append(alive.take(some))
            hit_t.append(t.take(some))
        # Convex ones (floor 0) are left behind as soon as the distance grows.
        keep = np.flatnonzero(~hit & (t + d < limit) & ((d <= before) | (floor < 0)))
        if not len(keep):
            break
        alive = alive.take(keep)
        columns = [column.take(keep) for column in (n, x0, y0, z0, t + d, d)]
    if not hit_pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    return np.concatenate(hit_pairs), np.concatenate(hit_t)


def seen_at(x, y, narrowing):
    """Picture coordinates (m) of the camera coordinates x, y; ``narrowing`` (1/m) as in :func:`trace`."""
    y = y / (1 - narrowing * y)
    return x * (1 + narrowing * y), y


def trace(solids, rotation, xs, ys, narrowing=0.0):
    """Nearest surfaces seen through the pixel centres ``xs`` (W,), ``ys`` (H,), picture coordinates in metres.

    Args:
        solids: :class:`~.geometry.PackedSolids` in the person's frame.
        rotation: (3, 3) from the person's frame to the camera's (x right, y up, z towards the camera).
        narrowing: 1/m. A near camera that looks down sees what is higher larger: the upright plane through the feet
            appears as in perspective. Its point (x, y) lies at ``seen_at(x, y)``; 0 leaves all as it is.

    Returns:
        :class:`Surface`
    """
    width, height = len(xs), len(ys)
    centre, axes = solids.turned(rotation)
    extent = solids.extents(axes)
    step_x, step_y = xs[1] - xs[0], ys[0] - ys[1]
    low, high = box_seen(centre[:, :2] - extent[:, :2], centre[:, :2] + extent[:, :2], narrowing)
    left = np.clip(np.ceil((low[:, 0] - xs[0]) / step_x), 0, width).astype(int)
    right = np.clip(np.floor((high[:, 0] - xs[0]) / step_x) + 1, 0, width).astype(int)
    top = np.clip(np.ceil((ys[0] - high[:, 1]) / step_y), 0, height).astype(int)
    bottom = np.clip(np.floor((ys[0] - low[:, 1]) / step_y) + 1, 0, height).astype(int)
    nearer = 1 / (1 + narrowing * ys[:, None])
    plane_y = ys[:, None] * nearer
    start = (centre + [0, 0, 1] * extent).astype(np.float32)
    inverse = axes / solids.scale[:, :, None]
    begin = np.einsum("nij,nj->ni", inverse, start - centre)
    grid = np.arange(height * width).reshape(height, width)
    found = []
    for boxes in (False, True):
        numbers, pixels, q = [], [], ([], [], [])
        for n in np.flatnonzero((solids.is_box == boxes) & (right > left) & (bottom > top)):
            rows, columns = slice(top[n], bottom[n]), slice(left[n], right[n])
            block = grid[rows, columns].ravel()
            pixels.append(block)
            numbers.append(np.full(block.size, n))
            across = xs[columns] * nearer[rows] if narrowing else xs[columns]  # of parallel rays one row serves all
            px, py = across - start[n, 0], plane_y[rows] - start[n, 1]
            for i in range(3):
                q[i].append(((inverse[n, i, 0] * px + begin[n, i]) + inverse[n, i, 1] * py).ravel())
        if not numbers:
            continue
        n, pixel = np.concatenate(numbers), np.concatenate(pixels)
        q = [np.concatenate(column) for column in q]
        way = [np.ascontiguousarray(-inverse[:, i, 2]) for i in range(3)]
        hits, t = _march(solids, boxes, n, q, way, 2 * extent[:, 2])
        hit_n = n[hits]
        local = np.stack([q[i][hits] + t * way[i][hit_n] for i in range(3)], 1)
        found.append((hit_n, pixel[hits], start[hit_n, 2] - t, local))
    solid = np.full(width * height, -1, np.int32)
    if not found:
        empty = np.zeros((0, 3), np.float32)
        return Surface(solid.reshape(height, width), np.zeros(0, int), np.zeros(0, np.float32), empty, empty)
    n, pixel, depth, local = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(pixel * 1e3 + depth.astype(np.float64))  # depths are far below 1000 m
    order = order[np.append(np.diff(pixel[order]) > 0, True)]  # the nearest hit of each pixel
    n, pixel, depth, local = n[order], pixel[order], depth[order], local[order]
    solid[pixel] = n
    return Surface(solid.reshape(height, width), pixel, depth, local, _normals(solids, axes, n, local))


def box_seen(low, high, narrowing):
    """Corners (N, 2) in picture coordinates of boxes given by their corners in camera coordinates."""
    corners = [seen_at(x[:, 0], y[:, 1], narrowing) for x in (low, high) for y in (low, high)]
    x, y = (np.stack(values) for values in zip(*corners, strict=True))
    return np.stack([x.min(0), y.min(0)], 1), np.stack([x.max(0), y.max(0)], 1)


def _normals(solids, axes, n, local):
    normal = np.empty_like(local)
    for boxes in (False, True):
        some = solids.is_box[n] == boxes
        m = n[some]
        x, y, z = local[some].T
        ex, ey, ez, _ = _offsets(solids.half[m].T, solids.major[m], solids.floor[m], boxes, x, y, z)
        gradient = np.stack([ex, ey, ez], 1)
        length = np.sqrt((gradient**2).sum(1, keepdims=True)) + 1e-9
        gradient[:, 1:2] -= solids.taper[m, None] * length
        cut = y - solids.clip[m] < 0.004
        gradient[cut] = (0, -1, 0)
        normal[some] = gradient
    world = np.einsum("mi,mij->mj", normal / solids.scale[n], axes[n])
    return world / (np.sqrt((world**2).sum(1, keepdims=True)) + 1e-9)
