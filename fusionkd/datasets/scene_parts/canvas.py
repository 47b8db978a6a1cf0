"""Camera and canvas of the procedural scenes.

Everything is drawn once into an image of face numbers. A table holds, for each face, what both cameras need to know:
colour, light, temperature, emissivity, and the plane and curvature from which the renderer recovers the position and
the normal of every pixel. World axes are metres: x to the right, y up from the ground, z along the road.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from .textures import ATLAS, noise_image

# Columns of the face table.
COLOUR, EMISSION = slice(0, 3), slice(3, 6)
TEMP, EMISSIVITY, GLOSS, RETRO, SOLAR, GRAIN = range(6, 12)
PLANE, OFFSET, NORMAL, BEND, BEND_AT = slice(12, 15), 15, slice(16, 19), slice(19, 22), 22
COLUMNS = 23
SKY, GROUND = 0, 1  # the two faces that no polygon draws
NEAR = 0.35  # metres; what is closer is clipped away
FAR = 4000.0
UP = np.array([0.0, 1.0, 0.0])
_FAR_PIXEL = 2**19  # in sixteenths of a pixel; keeps what lies beside the camera within OpenCV's range


def material(
    colour: Sequence[float] | float,
    temp: float,
    emissivity: float = 0.95,
    *,
    gloss: float = 0.0,
    emission: Sequence[float] | float = 0.0,
    retro: float = 0.0,
    solar: float = 0.6,
    grain: float = 0.12,
) -> np.ndarray:
    """One row of surface properties.

    Args:
        colour: linear BGR reflectance in [0, 1], or one number for gray.
        temp: temperature in degrees Celsius, before the sun warms it.
        emissivity: thermal emissivity in [0, 1]; the rest reflects the surroundings.
        gloss: mirror reflectance of visible light at normal incidence.
        emission: linear BGR light the surface sends out itself; white paper in the sun is about 1.
        retro: share of a headlight's beam sent straight back (signs, plates, markings).
        solar: how strongly the sun warms it, 1 for dark asphalt.
        grain: relative amplitude of its fine visible texture.

    Returns:
        ``(12,)`` array in the order of the face table.
    """
    row = np.empty(12)
    row[COLOUR], row[EMISSION] = colour, emission
    row[TEMP:] = temp, emissivity, gloss, retro, solar, grain
    return row


def pick(rng: np.random.Generator, options: Sequence):
    """One of the options, all alike likely."""
    return options[rng.integers(len(options))]


def heading_frame(heading: float) -> np.ndarray:
    """Rows forward, up and right of something that heads ``heading`` radians to the right of the z axis."""
    return np.array([[np.sin(heading), 0, np.cos(heading)], [0, 1, 0], [np.cos(heading), 0, -np.sin(heading)]])


def disc(x: float, z: float, radius: float) -> np.ndarray:
    """Outline ``(10, 3)`` of a disc on the ground."""
    turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    return np.stack([x + radius * np.cos(turn), np.zeros(10), z + radius * np.sin(turn)], 1)


def clip_near(local: np.ndarray) -> np.ndarray:
    """The part of a polygon in camera coordinates that lies beyond the near plane."""
    inside = local[:, 2] >= NEAR
    if inside.all():
        return local
    out = []
    for i in range(len(local)):
        a, b = local[i - 1], local[i]
        if inside[i - 1] != inside[i]:
            out.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
        if inside[i]:
            out.append(b)
    return np.array(out).reshape(-1, 3)


def to_fixed(pixels: np.ndarray) -> np.ndarray:
    """Pixel positions in sixteenths, as OpenCV's drawing functions take them."""
    return np.rint(np.minimum(np.maximum(pixels * 16, -_FAR_PIXEL), _FAR_PIXEL)).astype(np.int32)


class Camera:
    """A pinhole camera.

    Args:
        shape: height and width of the canvas in pixels.
        focal: focal length in pixels.
        eye: position in metres.
        angles: yaw to the right, pitch downwards and roll, in radians.
    """

    def __init__(self, shape: tuple[int, int], focal: float, eye: Sequence[float], angles: Sequence[float]):
        self.shape, self.focal, self.eye = shape, focal, np.asarray(eye, float)
        (cy, cp, cr), (sy, sp, sr) = np.cos(angles), np.sin(angles)
        turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        tilt = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
        self.axes = tilt @ nod @ turn
        self.right, _, self.forward = self.axes
        self.centre = (shape[1] - 1) / 2, (shape[0] - 1) / 2

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points ``(n, 3)`` in camera coordinates: right, up, depth."""
        return (points - self.eye) @ self.axes.T

    def to_pixels(self, local: np.ndarray) -> np.ndarray:
        """Pixel positions ``(n, 2)`` of points in camera coordinates."""
        depth = np.maximum(local[:, 2:], 1e-3)
        return local[:, :2] * (np.array([self.focal, -self.focal]) / depth) + self.centre

    def rays(self, rows: slice) -> np.ndarray:
        """World directions ``(3, rows, W)`` of the pixels of some rows, one metre deep."""
        u = (np.arange(self.shape[1], dtype=np.float32) - self.centre[0]) / self.focal
        v = (self.centre[1] - np.arange(rows.start, rows.stop, dtype=np.float32)) / self.focal
        right, up, forward = self.axes.astype(np.float32)[:, :, None, None]
        return right * u + up * v[:, None] + forward


class Canvas:
    """The image of face numbers with its table, and what lies on the ground or gives light.

    Attributes:
        ids: ``(H, W)`` int32, the face each pixel shows.
        shaders: by face, a callable ``(pixels, indices)`` that paints details of it.
        casters: what throws shadows on the ground: hulls ``(n, 3)`` or rods ``(n, 2, 4)`` with their radii.
        contacts: outlines on the ground under which the sky cannot be seen, and how much of it is hidden.
        warmth: warm spots of the ground: x, z, both radii in metres and kelvin.
        lights: lamps: place ``at``, direction ``aim``, ``rgb`` (in BGR order), ``power``, and ``focus``, the number of
            times the cosine around the aim is squared.
        targets: ranges of faces, one per hot target.
    """

    def __init__(self, camera: Camera, rng: np.random.Generator, air: float):
        self.camera, self.rng, self.air = camera, rng, air
        self.ids = np.zeros(camera.shape, np.int32)
        self.shaders: dict[int, Callable] = {}
        self.casters: list[np.ndarray] = []
        self.contacts: list[tuple[np.ndarray, float]] = []
        self.warmth: list[tuple[float, float, float, float, float]] = []
        self.lights: list[dict] = []
        self.targets: list[tuple[int, int]] = []
        self._blocks: list[np.ndarray] = []
        self._count = 0
        away, down = camera.forward[None], UP[None]
        self._add_faces(material(0.0, air), -away, away * FAR, -away)
        self._add_faces(material(0.2, air, grain=0.2), down, np.zeros((1, 3)), down)
        self.ids[camera.rays(slice(0, camera.shape[0]))[1] < 0] = GROUND

    def table(self) -> np.ndarray:
        """The face table ``(COLUMNS, faces)``."""
        return np.ascontiguousarray(np.concatenate(self._blocks).T)

    def _add_faces(self, mats, plane, anchor, normal, *, bend=None, radius=1.0) -> int:
        """Append faces: flat for depth, but with normals that bend along one direction as on a cylinder."""
        block = np.zeros((len(anchor), COLUMNS), np.float32)
        block[:, :12] = mats
        block[:, PLANE], block[:, NORMAL] = plane, normal
        block[:, OFFSET] = ((anchor - self.camera.eye) * plane).sum(1)
        if bend is not None:
            bend = bend / np.reshape(radius, (-1, 1))
            block[:, BEND] = bend
            block[:, BEND_AT] = ((anchor - self.camera.eye) * bend).sum(1)
        self._blocks.append(block)
        self._count += len(block)
        return self._count - len(block)

    def _fill(self, pixels: np.ndarray, face: int) -> None:
        cv2.fillPoly(self.ids, [to_fixed(pixels)], face, cv2.LINE_8, 4)

    def polygon(self, points: Sequence, mat: np.ndarray, shader: Callable | None = None) -> None:
        """Draw a flat polygon, clipped at the camera."""
        points = np.asarray(points, float)
        local = clip_near(self.camera.to_camera(points))
        if len(local) < 3:
            return
        centre = points.mean(0, keepdims=True)
        normal = np.cross(points[1] - points[0], points[-1] - points[0])
        normal = normal[None] / (np.linalg.norm(normal) + 1e-12)
        normal *= -np.sign(((centre - self.camera.eye) * normal).sum())
        face = self._add_faces(mat, normal, centre, normal)
        self._fill(self.camera.to_pixels(local), face)
        if shader is not None:
            self.shaders[face] = shader

    def mesh(self, points: np.ndarray, faces: list, mats: np.ndarray, bends: np.ndarray, layer: np.ndarray) -> dict:
        """Draw the visible faces of a nearly convex body, far faces first, layer by layer.

        Args:
            points: ``(n, 3)`` corners.
            faces: corner numbers of each face.
            mats: ``(faces, 12)`` materials.
            bends: ``(faces, 4)`` direction in which a face is curved, and the radius of the curve.
            layer: ``(faces,)`` order of drawing, for details that lie on other faces.

        Returns:
            The number on the canvas of each visible face, by its number in the mesh.
        """
        local = self.camera.to_camera(points)
        if local[:, 2].min() < NEAR:
            return {}
        pixels = self.camera.to_pixels(local)
        corners = points[np.array([[f[0], f[1], f[-1]] for f in faces])]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
        sizes = np.array([len(f) for f in faces])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        centre = np.add.reduceat(points[np.concatenate(faces)], starts) / sizes[:, None]
        normal *= np.sign(((centre - points.mean(0)) * normal).sum(1, keepdims=True))
        towards = centre - self.camera.eye
        seen = np.flatnonzero((towards * normal).sum(1) < 0)
        seen = seen[np.lexsort((-np.linalg.norm(towards[seen], axis=1), layer[seen]))]
        normal, centre, bends = normal[seen], centre[seen], bends[seen]
        first = self._add_faces(mats[seen], normal, centre, normal, bend=bends[:, :3], radius=bends[:, 3])
        for k, face in enumerate(seen):
            self._fill(pixels[faces[face]], first + k)
        return {int(face): first + k for k, face in enumerate(seen)}

    def rods(self, start, end, r0, r1, mats: np.ndarray, *, nearer=0.0, shadow: bool = True) -> tuple[int, int] | None:
        """Draw tapered rods with round ends, shaded as cylinders, far ones first.

        Args:
            start: ``(n, 3)`` or ``(3,)`` first ends.
            end: the other ends.
            r0: radius at the first end, in metres.
            r1: radius at the other end.
            mats: ``(n, 12)`` or ``(12,)`` materials.
            nearer: metres by which rods are taken to be nearer when they are sorted.
            shadow: whether they throw shadows.

        Returns:
            The range of faces drawn, or None when they are too near the camera.
        """
        start, end = np.atleast_2d(np.asarray(start, float)), np.atleast_2d(np.asarray(end, float))
        n = len(start)
        r0, r1 = np.broadcast_to(r0, (n,)).astype(float), np.broadcast_to(r1, (n,)).astype(float)
        a, b = self.camera.to_camera(start), self.camera.to_camera(end)
        if min(a[:, 2].min(), b[:, 2].min()) < NEAR:
            return None
        if shadow:
            self.casters.append(np.concatenate([np.stack([start, end], 1), np.stack([r0, r1], 1)[..., None]], 2))
        pa, pb = self.camera.to_pixels(a), self.camera.to_pixels(b)
        along = np.arctan2(pb[:, 1] - pa[:, 1], pb[:, 0] - pa[:, 0])
        arc = np.linspace(-np.pi / 2, np.pi / 2, 6)
        turn = np.concatenate([arc, arc + np.pi])[None] + along[:, None]
        far_end = np.arange(12) < 6
        radius = np.where(far_end, (r1 / b[:, 2])[:, None], (r0 / a[:, 2])[:, None]) * self.camera.focal
        outline = np.where(far_end[:, None], pb[:, None], pa[:, None])
        outline = outline + radius[..., None] * np.stack([np.cos(turn), np.sin(turn)], -1)
        across = np.stack([-np.sin(along), -np.cos(along), np.zeros(n)], 1) @ self.camera.axes
        order = np.argsort(nearer - (a[:, 2] + b[:, 2]) / 2, kind='stable')
        facing = np.broadcast_to(-self.camera.forward, (n, 3))
        middle, round_ = ((start + end) / 2)[order], (np.maximum(r0, r1) * 1.05)[order]
        mats = np.broadcast_to(mats, (n, 12))[order]
        first = self._add_faces(mats, facing, middle, facing, bend=across[order], radius=round_)
        for k, i in enumerate(order):
            self._fill(outline[i], first + k)
        return first, first + n

    def line(self, points: np.ndarray, mat: np.ndarray, width: float, closed: bool = False) -> None:
        """Draw a thin wire or tube through points, at the depth of their centre; ``width`` in metres."""
        local = self.camera.to_camera(np.asarray(points, float))
        if local[:, 2].min() < NEAR:
            return
        facing = -self.camera.forward[None]
        face = self._add_faces(mat, facing, np.mean(points, 0, keepdims=True), facing)
        thick = max(1, round(self.camera.focal * width / local[:, 2].mean()))
        cv2.polylines(self.ids, [to_fixed(self.camera.to_pixels(local))], closed, face, thick, cv2.LINE_8, 4)

    def stamp(self, centre, half: tuple[float, float], field: np.ndarray, mats: np.ndarray, leaf: float) -> None:
        """Draw foliage that faces the camera, in as many faces as there are materials.

        Args:
            centre: its middle in world metres.
            half: half its width and height in metres.
            field: ``(S, S, 2)`` density and shade of the crown, see ``plants.crown_field``.
            mats: ``(levels, 12)`` materials from deep shade to full light.
            leaf: size in metres of the clusters of leaves that eat into the outline.
        """
        centre = np.asarray(centre, float)[None]
        local = self.camera.to_camera(centre)
        flip, phase = self.rng.choice((-1.0, 1.0)), self.rng.integers(0, ATLAS // 2, 2)
        if local[0, 2] < 2 * NEAR:
            return
        (u, v), scale = self.camera.to_pixels(local)[0], self.camera.focal / local[0, 2]
        ru, rv = half[0] * scale, half[1] * scale
        x0, x1 = max(int(u - ru), 0), min(int(u + ru) + 2, self.ids.shape[1])
        y0, y1 = max(int(v - rv), 0), min(int(v + rv) + 2, self.ids.shape[0])
        if x0 >= x1 or y0 >= y1:
            return
        size, flags = (x1 - x0, y1 - y0), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        du, dv = flip * len(field) / (2 * ru), len(field) / (2 * rv)
        move = np.array([[du, 0, len(field) / 2 + du * (x0 - u)], [0, dv, len(field) / 2 + dv * (y0 - v)]])
        density, shade = cv2.split(cv2.warpAffine(field, move, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))
        limit = ATLAS / 2 / max(size)
        coarse = min(2 / max(leaf * scale, 1.0), limit)  # texels a pixel; far away one pixel is one cluster
        leaves = np.zeros_like(density)
        for step, weight, (a, b) in ((coarse, 0.75, phase), (min(coarse * 3.7, 1.0, limit), 0.65, phase[::-1])):
            move = np.array([[step, 0, a], [0, step, b]])
            leaves += weight * cv2.warpAffine(noise_image('leaf'), move, size, flags=flags)
        crisp = min(1.0, 0.45 + leaf * scale / 4)
        keep = density + leaves * (0.16 + 0.14 * crisp) > 0.12
        level = np.clip((shade + leaves * 0.17 * crisp) * len(mats), 0, len(mats) - 1).astype(np.int32)
        facing = np.tile(-self.camera.forward, (len(mats), 1))
        middle, across = (np.tile(row, (len(mats), 1)) for row in (centre, self.camera.right))
        normal = facing * 0.75 + UP * 0.65
        first = self._add_faces(mats, facing, middle, normal, bend=across, radius=half[0] * 1.2)
        np.copyto(self.ids[y0:y1, x0:x1], level + first, where=keep)
