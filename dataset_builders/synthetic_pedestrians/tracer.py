"""Sphere tracing of a union of signed distance primitives, under parallel rays.

The nearest surface of a union along a ray is the nearest of its members' surfaces. So each primitive is marched only over
the pixels of its own projected box, all (primitive, pixel) pairs together as flat arrays, and a depth buffer keeps the
nearest hit of each pixel. This costs a small share of marching every ray against every primitive.
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


def _offsets(solids, n, x, y, z):
    """Vector from the core of primitive ``n`` to a local point, and the clamped height."""
    h = np.clip(y, -solids.half[n, 1], solids.half[n, 1])
    ey = y - h
    if len(n) and solids.is_box[n[0]]:
        hx, hz = solids.half[n, 0], solids.half[n, 2]
        return x - np.clip(x, -hx, hx), ey, z - np.clip(z, -hz, hz), h
    rho = np.sqrt(x * x + z * z) + 1e-9
    reach = np.maximum(rho - solids.major[n], solids.floor[n]) / rho
    return x * reach, ey, z * reach, h


def _march(solids, n, pixel, qx, qy, qz, dx, dy, dz, far):
    """March pairs of one formula; returns the indices of the pairs that hit and their travelled distances t."""
    steepness = solids.scale.min(1) / np.sqrt(1 + solids.taper**2)
    can_leave = solids.floor[n] >= 0  # convex: once the distance grows, it never falls again
    alive = np.arange(len(n))
    t = np.zeros(len(n), np.float32)
    before = np.full(len(n), np.inf, np.float32)
    hits = []
    columns = [n, qx, qy, qz, dx, dy, dz, far, steepness[n], can_leave]
    for step in range(MAX_STEPS):
        n_, x0, y0, z0, vx, vy, vz, limit, factor, leaving = columns
        ta = t[alive]
        y = y0 + ta * vy
        ex, ey, ez, h = _offsets(solids, n_, x0 + ta * vx, y, z0 + ta * vz)
        d = np.sqrt(ex * ex + ey * ey + ez * ez) - (solids.radius[n_] + solids.taper[n_] * h)
        d = np.maximum(d, solids.clip[n_] - y) * factor
        hit = d < (HIT if step < MAX_STEPS - 1 else 4 * HIT)
        if hit.any():
            hits.append(alive[hit])
        keep = ~hit & (ta + d < limit) & ~(leaving & (d > before[alive]))
        before[alive] = d
        t[alive] = ta + np.where(hit, 0, d)
        alive = alive[keep]
        if not len(alive):
            break
        columns = [column[keep] for column in columns]
    hits = np.concatenate(hits) if hits else np.zeros(0, np.int64)
    return hits, t[hits]


def trace(solids, rotation, xs, ys):
    """Nearest surfaces seen through the pixel centres ``xs`` (W,), ``ys`` (H,), camera coordinates in metres.

    Args:
        solids: :class:`~.geometry.PackedSolids` in the person's frame.
        rotation: (3, 3) from the person's frame to the camera's (x right, y up, z towards the camera).

    Returns:
        :class:`Surface`
    """
    width, height = len(xs), len(ys)
    centre, axes = solids.turned(rotation)
    extent = solids.extents(axes)
    step_x, step_y = xs[1] - xs[0], ys[0] - ys[1]
    left = np.clip(np.ceil((centre[:, 0] - extent[:, 0] - xs[0]) / step_x), 0, width).astype(int)
    right = np.clip(np.floor((centre[:, 0] + extent[:, 0] - xs[0]) / step_x) + 1, 0, width).astype(int)
    top = np.clip(np.ceil((ys[0] - centre[:, 1] - extent[:, 1]) / step_y), 0, height).astype(int)
    bottom = np.clip(np.floor((ys[0] - centre[:, 1] + extent[:, 1]) / step_y) + 1, 0, height).astype(int)
    found = []
    for boxes in (False, True):
        numbers, pixels = [], []
        for n in np.flatnonzero((solids.is_box == boxes) & (right > left) & (bottom > top)):
            block = np.arange(top[n], bottom[n])[:, None] * width + np.arange(left[n], right[n])
            pixels.append(block.ravel())
            numbers.append(np.full(block.size, n))
        if not numbers:
            continue
        n, pixel = np.concatenate(numbers), np.concatenate(pixels)
        start = (centre + [0, 0, 1] * extent).astype(np.float32)
        px, py = xs[pixel % width] - start[n, 0], ys[pixel // width] - start[n, 1]
        inverse = axes / solids.scale[:, :, None]
        begin = np.einsum("nij,nj->ni", inverse, start - centre)
        q = [begin[n, i] + inverse[n, i, 0] * px + inverse[n, i, 1] * py for i in range(3)]
        v = [-inverse[n, i, 2] for i in range(3)]
        hits, t = _march(solids, n, pixel, *q, *v, 2 * extent[n, 2])
        local = np.stack([q[i][hits] + t * v[i][hits] for i in range(3)], 1)
        found.append((n[hits], pixel[hits], start[n[hits], 2] - t, local))
    solid = np.full(width * height, -1, np.int32)
    if not found:
        empty = np.zeros((0, 3), np.float32)
        return Surface(solid.reshape(height, width), np.zeros(0, int), np.zeros(0, np.float32), empty, empty)
    n, pixel, depth, local = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((depth, pixel))
    order = order[np.append(pixel[order][1:] != pixel[order][:-1], True)]  # the nearest hit of each pixel
    n, pixel, depth, local = n[order], pixel[order], depth[order], local[order]
    solid[pixel] = n
    return Surface(solid.reshape(height, width), pixel, depth, local, _normals(solids, axes, n, local))


def _normals(solids, axes, n, local):
    normal = np.empty_like(local)
    for boxes in (False, True):
        some = solids.is_box[n] == boxes
        m = n[some]
        x, y, z = local[some].T
        ex, ey, ez, _ = _offsets(solids, m, x, y, z)
        gradient = np.stack([ex, ey, ez], 1)
        length = np.sqrt((gradient**2).sum(1, keepdims=True)) + 1e-9
        gradient[:, 1:2] -= solids.taper[m, None] * length
        cut = y - solids.clip[m] < 0.004
        gradient[cut] = (0, -1, 0)
        normal[some] = gradient
    world = np.einsum("mi,mij->mj", normal / solids.scale[n], axes[n])
    return world / (np.sqrt((world**2).sum(1, keepdims=True)) + 1e-9)
