"""Sphere tracing of a union of signed distance primitives, under parallel rays whose grid may narrow downwards.

Sphere tracing marches along a ray: the distance to the nearest surface is a step that cannot pass through anything. The
nearest surface of a union along a ray is the nearest of its members' surfaces. So each primitive is marched only over
the pixels of its own projected box, all (primitive, pixel) pairs together as flat arrays, and the nearest hit of each
pixel is kept. This costs a small share of marching every ray against every primitive.
"""

from dataclasses import dataclass

import numpy as np

from .geometry import PackedSolids

MAX_STEPS = 28
# Metres from a surface at which a ray counts as arrived. In the last step, four times as much does: rays that graze a
# surface come near it slowly.
HIT = 0.0015
LAST_HIT = 4 * HIT


@dataclass
class Surface:
    """What the pixels show.

    Attributes:
        solid: (H, W) int32, the number of the primitive or -1.
        pixel: (M,) flat indices of the pixels that show something. The arrays below belong to these.
        depth: (M,) metres towards the camera.
        local: (M, 3) scaled coordinates in the primitive's frame.
        normal: (M, 3) unit vectors in the camera's frame.
    """

    solid: np.ndarray
    pixel: np.ndarray
    depth: np.ndarray
    local: np.ndarray
    normal: np.ndarray


def _offsets(
    half: list[np.ndarray | None] | np.ndarray,
    major: np.ndarray | None,
    floor: np.ndarray | float,
    is_box: bool,
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The vector from the core of each pair's primitive to a local point, and the clamped height; all (P,) arrays."""
    height = np.minimum(np.maximum(y, -half[1]), half[1])
    offset_y = y - height
    if is_box:
        offset_x = x - np.minimum(np.maximum(x, -half[0]), half[0])
        offset_z = z - np.minimum(np.maximum(z, -half[2]), half[2])
        return offset_x, offset_y, offset_z, height
    # max(rho - major, floor) along the direction of (x, z). The small number is for points on the axis.
    rho = np.sqrt(x * x + z * z) + np.float32(1e-9)
    reach = np.maximum(rho - major, floor) / rho
    return x * reach, offset_y, z * reach, height


def _march(
    solids: PackedSolids,
    is_box: bool,
    n: np.ndarray,
    origin: list[np.ndarray],
    way: list[np.ndarray],
    far: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """March pairs of one formula.

    A ray stays straight in a primitive's scaled frame, where the distance is not distorted. So a step is the distance
    there over the ray's speed there.

    Args:
        n: (P,) primitive of each pair.
        origin: 3 x (P,), where each pair's ray starts, in the primitive's scaled frame.
        way: 3 x (N,) ray direction in each primitive's scaled frame, per metre travelled.
        far: (N,) distance (m) at which a ray has left the primitive.

    Returns:
        (indices of the pairs that hit, how far (m) their rays came), both (K,)
    """
    speed = np.sqrt(way[0] ** 2 + way[1] ** 2 + way[2] ** 2)
    # The formula may overstate the distance to a cone by this root, because the radius changes on the way.
    pace = 1 / (speed * np.sqrt(1 + solids.taper**2))
    # Only the columns that the formula needs: they are gathered anew in every step.
    own = (solids.half[:, 0], solids.half[:, 2]) if is_box else (solids.major, solids.floor)
    tables = [np.ascontiguousarray(table) for table in (solids.half[:, 1], *own)]
    tables += [*way, solids.radius, solids.taper, solids.clip, pace, far]
    alive = np.arange(len(n))
    travelled = np.zeros(len(n), np.float32)
    last_distance = np.full(len(n), np.inf, np.float32)
    columns = [n, *origin, travelled, last_distance]
    hit_pairs = []
    hit_travelled = []
    for step in range(MAX_STEPS):
        n, x0, y0, z0, travelled, last_distance = columns
        half_y, *own, way_x, way_y, way_z, radius, taper, clip, factor, limit = (table.take(n) for table in tables)
        half = [own[0], half_y, own[1]] if is_box else [None, half_y, None]
        major, floor = (None, 0.0) if is_box else own
        x = x0 + travelled * way_x
        y = y0 + travelled * way_y
        z = z0 + travelled * way_z
        offset_x, offset_y, offset_z, height = _offsets(half, major, floor, is_box, x, y, z)
        distance = np.sqrt(offset_x * offset_x + offset_y * offset_y + offset_z * offset_z) - (radius + taper * height)
        distance = np.maximum(distance, clip - y) * factor
        hit = distance < (HIT if step < MAX_STEPS - 1 else LAST_HIT)
        some = np.flatnonzero(hit)
        if len(some):
            hit_pairs.append(alive.take(some))
            hit_travelled.append(travelled.take(some))
        # A ray has passed a convex solid as soon as the distance grows. A torus (floor < 0) may still be hit later.
        coming = (distance <= last_distance) | (floor < 0)
        keep = np.flatnonzero(~hit & (travelled + distance < limit) & coming)
        if not len(keep):
            break
        alive = alive.take(keep)
        columns = [column.take(keep) for column in (n, x0, y0, z0, travelled + distance, distance)]
    if not hit_pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    return np.concatenate(hit_pairs), np.concatenate(hit_travelled)


def seen_at(x: np.ndarray | float, y: np.ndarray | float, narrowing: float) -> tuple[np.ndarray, np.ndarray]:
    """Image coordinates (m) of the camera coordinates x, y; ``narrowing`` (1/m) as in :func:`trace`."""
    y = y / (1 - narrowing * y)
    return x * (1 + narrowing * y), y


def trace(
    solids: PackedSolids, rotation: np.ndarray, xs: np.ndarray, ys: np.ndarray, narrowing: float = 0.0
) -> Surface:
    """The nearest surfaces that are seen through the pixels.

    Args:
        solids: in the person's frame.
        rotation: (3, 3) from the person's frame to the camera's (x right, y up, z towards the camera).
        xs, ys: (W,) and (H,) image coordinates (m) of the pixels' centres.
        narrowing: in 1/m. To a near camera that looks down, what is higher looks larger. The upright plane through the
            feet appears as in perspective: its point (x, y) is seen at ``seen_at(x, y)``. With 0 nothing changes.
    """
    width = len(xs)
    height = len(ys)
    centre, axes = solids.turned(rotation)
    extent = solids.extents(axes)
    step_x = xs[1] - xs[0]
    step_y = ys[0] - ys[1]
    # The box of pixels that each primitive can cover.
    low, high = box_seen(centre[:, :2] - extent[:, :2], centre[:, :2] + extent[:, :2], narrowing)
    left = np.clip(np.ceil((low[:, 0] - xs[0]) / step_x), 0, width).astype(int)
    right = np.clip(np.floor((high[:, 0] - xs[0]) / step_x) + 1, 0, width).astype(int)
    top = np.clip(np.ceil((ys[0] - high[:, 1]) / step_y), 0, height).astype(int)
    bottom = np.clip(np.floor((ys[0] - low[:, 1]) / step_y) + 1, 0, height).astype(int)
    # seen_at, backwards: where the ray of an image point meets the upright plane.
    nearer = 1 / (1 + narrowing * ys[:, None])
    plane_y = ys[:, None] * nearer
    # A ray starts at the front of the primitive's box. Everything is linear, so a start in a primitive's scaled frame
    # is that of the box's front centre plus its shifts across and up the image.
    start = (centre + [0, 0, 1] * extent).astype(np.float32)
    inverse = axes / solids.scale[:, :, None]
    begin = np.einsum("nij,nj->ni", inverse, start - centre)
    grid = np.arange(height * width).reshape(height, width)
    found = []
    for boxes in (False, True):
        numbers = []
        pixels = []
        origin = ([], [], [])
        for n in np.flatnonzero((solids.is_box == boxes) & (right > left) & (bottom > top)):
            rows = slice(top[n], bottom[n])
            columns = slice(left[n], right[n])
            block = grid[rows, columns].ravel()
            pixels.append(block)
            numbers.append(np.full(block.size, n))
            # For parallel rays one row of x serves all rows of pixels.
            across = xs[columns] * nearer[rows] if narrowing else xs[columns]
            shift_x = across - start[n, 0]
            shift_y = plane_y[rows] - start[n, 1]
            for i in range(3):
                place = (inverse[n, i, 0] * shift_x + begin[n, i]) + inverse[n, i, 1] * shift_y
                origin[i].append(place.ravel())
        if not numbers:
            continue
        n = np.concatenate(numbers)
        pixel = np.concatenate(pixels)
        origin = [np.concatenate(column) for column in origin]
        way = [np.ascontiguousarray(-inverse[:, i, 2]) for i in range(3)]
        hits, travelled = _march(solids, boxes, n, origin, way, 2 * extent[:, 2])
        hit_n = n[hits]
        local = np.stack([origin[i][hits] + travelled * way[i][hit_n] for i in range(3)], 1)
        found.append((hit_n, pixel[hits], start[hit_n, 2] - travelled, local))
    solid = np.full(width * height, -1, np.int32)
    if not found:
        empty = np.zeros((0, 3), np.float32)
        return Surface(solid.reshape(height, width), np.zeros(0, int), np.zeros(0, np.float32), empty, empty)
    n, pixel, depth, local = (np.concatenate(column) for column in zip(*found, strict=True))
    nearest = _nearest(pixel, depth)
    n = n[nearest]
    pixel = pixel[nearest]
    depth = depth[nearest]
    local = local[nearest]
    solid[pixel] = n
    return Surface(solid.reshape(height, width), pixel, depth, local, _normals(solids, axes, n, local))


def _nearest(pixel: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Indices of the nearest hit of each pixel, in the order of the pixels; the arguments are (K,) arrays of hits."""
    # One sort by pixel, then by depth: depths are far below 1000 m. The last hit of each pixel is the nearest.
    order = np.argsort(pixel * 1e3 + depth.astype(np.float64))
    is_last = np.append(np.diff(pixel[order]) > 0, True)
    return order[is_last]


def box_seen(low: np.ndarray, high: np.ndarray, narrowing: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners (low, high), each (N, 2), in image coordinates, of boxes given by their corners in camera coordinates."""
    # A box narrows to a trapezium, so that any of its four corners may be the outermost.
    corners = [seen_at(x[:, 0], y[:, 1], narrowing) for x in (low, high) for y in (low, high)]
    x, y = (np.stack(values) for values in zip(*corners, strict=True))
    return np.stack([x.min(0), y.min(0)], 1), np.stack([x.max(0), y.max(0)], 1)


def _normals(solids: PackedSolids, axes: np.ndarray, n: np.ndarray, local: np.ndarray) -> np.ndarray:
    """(M, 3) unit normals in the camera's frame: the gradient of the distance at the points ``local``.

    Args:
        n: (M,) primitive of each point.
    """
    normal = np.empty_like(local)
    for boxes in (False, True):
        some = solids.is_box[n] == boxes
        m = n[some]
        x, y, z = local[some].T
        offset_x, offset_y, offset_z, _ = _offsets(solids.half[m].T, solids.major[m], solids.floor[m], boxes, x, y, z)
        gradient = np.stack([offset_x, offset_y, offset_z], 1)
        length = np.sqrt((gradient**2).sum(1, keepdims=True)) + 1e-9
        # The radius of a cone grows along y, which tilts its sides.
        gradient[:, 1:2] -= solids.taper[m, None] * length
        # A flat cut faces down.
        cut = y - solids.clip[m] < 0.004
        gradient[cut] = (0, -1, 0)
        normal[some] = gradient
    # Gradients transform by the inverse scale, unlike points.
    world = np.einsum("mi,mij->mj", normal / solids.scale[n], axes[n])
    return world / (np.sqrt((world**2).sum(1, keepdims=True)) + 1e-9)
