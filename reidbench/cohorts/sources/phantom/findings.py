"""What disease does to a body: each of the fourteen findings of ChestX-ray14 with a look of its own.

A finding comes and goes with the table's labels, but its place is the patient's own: a nodule that is seen twice is
seen in one spot, and a second pneumonia may lie elsewhere (each finding keeps part of its place from visit to visit).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.base import CHESTXRAY14_LABELS
from reidbench.cohorts.sources.phantom.randomness import generator
from reidbench.cohorts.sources.phantom.scene import Scene

Array = NDArray[np.float64]
Values = dict[str, Array]

#: How much of a finding's place stays with the patient (1 all of it, 0 none).
_STAYS = {
    "Atelectasis": 0.6,
    "Cardiomegaly": 1.0,
    "Effusion": 0.7,
    "Infiltration": 0.3,
    "Mass": 0.99,
    "Nodule": 0.99,
    "Pneumonia": 0.2,
    "Pneumothorax": 0.8,
    "Consolidation": 0.4,
    "Edema": 0.9,
    "Emphysema": 1.0,
    "Fibrosis": 0.95,
    "Pleural_Thickening": 0.98,
    "Hernia": 0.98,
}
#: Numbers a finding draws: side, height, width, size, strength, and more where a look needs a texture.
_NUMBERS = 40
DRAWS = (len(CHESTXRAY14_LABELS), _NUMBERS)


def draw(seed: int, patient_id: object, image_id: object) -> Array:
    """DRAWS standard normal numbers: the patient's own mixed with the visit's as each finding stays in its place."""
    own = generator(seed, "findings", patient_id).standard_normal(DRAWS)
    now = generator(seed, "findings", patient_id, image_id).standard_normal(DRAWS)
    stays = np.array([_STAYS[name] for name in CHESTXRAY14_LABELS])[:, None]
    return np.sqrt(stays) * own + np.sqrt(1.0 - stays) * now


class Disease:
    """The findings of B visits.

    Args:
        present: (B,) of 0 or 1 by finding; what the table's labels say.
        draws: (B, *DRAWS) from :func:`draw`.
        leaning: whether places in a lung lean with it; version 1, whose lungs are nearly upright, leaves that out.
    """

    def __init__(self, present: dict[str, NDArray[np.integer]], draws: Array, *, leaning: bool = False) -> None:
        batch = len(draws)
        self._leaning = leaning
        self._draws = dict(zip(CHESTXRAY14_LABELS, np.moveaxis(np.clip(draws, -2.2, 2.2), 1, 0)))
        self.present: Values = {
            name: np.asarray(present[name], float) if name in present else np.zeros(batch)
            for name in CHESTXRAY14_LABELS
        }

    def number(self, name: str, index: int) -> Array:
        """(B,) standard normal numbers."""
        return self._draws[name][:, index]

    def side(self, name: str) -> Array:
        """(B,) -1 for the right lung (left in the image), 1 for the left."""
        return np.where(self.number(name, 0) > 0, 1.0, -1.0)

    def on_side(self, name: str, sign: float) -> Array:
        """(B,) 1 where the finding is present on that side."""
        return self.present[name] * (self.side(name) == sign)

    def change(self, a: Values) -> Values:
        """Anatomy as disease changes it: a large heart, raised or flat domes, thin or thick lungs and vessels."""
        b = dict(a)
        big = self.present["Cardiomegaly"] * (1.0 + 0.2 * self.number("Cardiomegaly", 1))
        thin = self.present["Emphysema"] * (1.0 + 0.2 * self.number("Emphysema", 1))
        stiff = self.present["Fibrosis"]
        wet = self.present["Edema"]
        b["heart_long"] = a["heart_long"] * (1 + 0.19 * big) * (1 - 0.05 * thin)
        b["heart_short"] = a["heart_short"] * (1 + 0.20 * big) * (1 - 0.08 * thin)
        b["atrium_size"] = a["atrium_size"] * (1 + 0.15 * big)
        b["heart_x"] = a["heart_x"] + 4 * big
        b["dome_right"] = a["dome_right"] + 19 * thin - 12 * stiff
        b["dome_height"] = a["dome_height"] * (1 - 0.55 * thin)
        b["lung_density"] = a["lung_density"] * (1 - 0.40 * thin) + 0.03 * stiff + 0.01 * wet
        for side in ("right", "left"):
            b[f"lung_width_{side}"] = a[f"lung_width_{side}"] * (1 + 0.04 * thin - 0.03 * stiff)
        b["vessel_calibre"] = a["vessel_calibre"] * (1 - 0.25 * thin + 0.15 * wet)
        b["hilum_size"] = a["hilum_size"] * (1 + 0.12 * wet + 0.15 * thin)
        # Collapsed lung pulls its side of the diaphragm up.
        for name, sign in (("right", -1.0), ("left", 1.0)):
            pull = self.on_side("Atelectasis", sign) * (17 + 3 * self.number("Atelectasis", 3))
            b[f"dome_raise_{name}"] = pull
        return b

    def add(self, scene: Scene, a: Values) -> None:
        """Puts what disease adds into the scene, which must hold the lungs and the domes."""
        self._fluid(scene, a)
        self._collapse(scene)
        self._focal(scene)
        self._diffuse(scene, a)
        self._pleura(scene)
        self._hernia(scene, a)

    def _place(self, scene: Scene, name: str, spread: tuple[float, float], height: float) -> tuple[Array, Array]:
        """A place in the lung of the finding's side: its center, (B, 3), and the lung's semi-axes, (B, 3)."""
        left = self.side(name) > 0
        center = np.where(left[:, None], scene.centers["lung_left"], scene.centers["lung_right"])
        axes = np.where(left[:, None, None], scene.axes["lung_left"], scene.axes["lung_right"])
        semi = np.linalg.norm(axes, axis=1)
        # The visible part of the lung reaches from its top to a little below its center.
        local = np.stack(
            [
                self.side(name) * np.clip(0.1 + spread[0] * self.number(name, 1), -0.3, 0.62),
                np.clip(height + spread[1] * self.number(name, 2), -0.72, 0.04),
                0.35 * self.number(name, 3) / 2,
            ],
            axis=-1,
        )
        return center + self._lean(local * semi, axes), semi

    def _lean(self, offsets: Array, axes: Array) -> Array:
        """Offsets from a lung's center along its semi-axes, (B, 3) or (B, n, 3), turned as its ``axes`` are."""
        if not self._leaning:
            return offsets
        turn = axes / np.linalg.norm(axes, axis=1, keepdims=True)
        return np.einsum("bij,b...j->b...i", turn, offsets)

    def _blobs(
        self,
        scene: Scene,
        name: str,
        center: Array,
        extent: float,
        count: int,
        sigma: float,
        strength: float,
        first: int,
    ) -> None:
        around = np.stack(
            [self._draws[name][:, first : first + count], self._draws[name][:, first + 5 : first + 5 + count]], -1
        )
        xyz = center[:, None, :] + np.concatenate([extent * around, 0 * around[..., :1]], axis=-1)
        depth = strength * self.present[name] * np.exp(0.18 * self.number(name, 4))
        scene.cloud("findings", xyz, sigma, depth[:, None] * 2 * np.pi * sigma**2)

    def _focal(self, scene: Scene) -> None:
        place, _ = self._place(scene, "Nodule", (0.35, 0.26), -0.28)
        size = 8.0 * np.exp(0.16 * self.number("Nodule", 4))
        scene.cloud(
            "findings", place[:, None], size[:, None], (1.15 * self.present["Nodule"] * 2 * np.pi * size**2)[:, None]
        )
        place, _ = self._place(scene, "Mass", (0.3, 0.26), -0.3)
        size = 14.5 * np.exp(0.15 * self.number("Mass", 4))
        scene.cloud(
            "findings", place[:, None], size[:, None], (0.95 * self.present["Mass"] * 2 * np.pi * size**2)[:, None]
        )
        place, _ = self._place(scene, "Infiltration", (0.25, 0.22), -0.15)
        self._blobs(scene, "Infiltration", place, 17.0, 9, 8.5, 0.34, 6)
        place, _ = self._place(scene, "Pneumonia", (0.2, 0.12), 0.0)
        self._blobs(scene, "Pneumonia", place, 12.0, 7, 10.0, 0.44, 6)
        place, _ = self._place(scene, "Consolidation", (0.2, 0.2), -0.35)
        size = 21.0 * np.exp(0.12 * self.number("Consolidation", 5))
        depth = 0.85 * self.present["Consolidation"] * np.exp(0.15 * self.number("Consolidation", 4))
        scene.cloud(
            "findings",
            place[:, None],
            1.25 * size[:, None],
            (depth * 2 * np.pi * 1.05 * size**2)[:, None],
            0.84 * size[:, None],
        )

    def _fluid(self, scene: Scene, a: Values) -> None:
        """Fluid fills the angle beside and above the diaphragm, with a meniscus that climbs the chest wall."""
        for name, sign in (("right", -1.0), ("left", 1.0)):
            present = self.on_side("Effusion", sign)
            level = 46 + 13 * self.number("Effusion", 2)
            dome, semi = scene.centers[f"dome_{name}"], np.linalg.norm(scene.axes[f"dome_{name}"], axis=1)
            away = np.where(present > 0, 0.0, 1e6)
            center: list[Array] = [dome[:, 0] + sign * 46, dome[:, 1] - level + 22, dome[:, 2] - 14 + away]
            scene.ellipsoid(
                f"fluid_{name}", [center[0] + away, *center[1:]], [semi[:, 0], semi[:, 1], semi[:, 2]], sign * -16
            )

    def _collapse(self, scene: Scene) -> None:
        """Atelectasis: bands of collapsed lung above the diaphragm. Pneumothorax: what is left of the lung."""
        t = np.linspace(-1, 1, 12)
        for name, sign in (("right", -1.0), ("left", 1.0)):
            present = self.on_side("Atelectasis", sign)
            dome, semi = scene.centers[f"dome_{name}"], np.linalg.norm(scene.axes[f"dome_{name}"], axis=1)
            y = dome[:, 1] - semi[:, 1] - 14 - 9 * np.abs(self.number("Atelectasis", 2))
            length = 36 + 6 * self.number("Atelectasis", 5)
            slope = 0.18 * self.number("Atelectasis", 6) + 0.16 * sign
            x = dome[:, 0] + sign * 2 + 8 * self.number("Atelectasis", 1)
            line = np.stack(
                [x[:, None] + length[:, None] * t, y[:, None] + (slope * length)[:, None] * t, np.zeros((len(x), 12))],
                -1,
            )
            scene.tube("findings", line, 4.2, 0.62 * (present * np.exp(0.2 * self.number("Atelectasis", 4)))[:, None])
            base = np.stack([dome[:, 0], y + 9, 0 * y], axis=-1)[:, None]
            scene.cloud("findings", base, 26.0, (0.40 * present * 2 * np.pi * 26 * 9)[:, None], 9.0)

            open_ = self.on_side("Pneumothorax", sign)
            lung, axes = scene.centers[f"lung_{name}"], scene.axes[f"lung_{name}"]
            left = np.clip(0.82 + 0.06 * self.number("Pneumothorax", 2), 0.66, 0.92)
            semi = np.linalg.norm(axes, axis=1)
            away = np.where(open_ > 0, 0.0, 1e6)
            # It hangs at the hilum: what leaves is the top and the side.
            center = [
                lung[:, 0] - sign * semi[:, 0] * (1 - left) * 0.9 + away,
                lung[:, 1] + semi[:, 1] * (1 - left) * 0.7,
            ]
            scene.ellipsoid(
                f"rest_{name}", [*center, lung[:, 2]], [semi[:, 0] * left, semi[:, 1] * left, semi[:, 2] * 0.93]
            )
            if self._leaning:
                scene.axes[f"rest_{name}"] = axes * np.stack([left, left, np.full_like(left, 0.93)], axis=-1)[:, None]

    def _diffuse(self, scene: Scene, a: Values) -> None:
        """Edema: haze around both hila, as wings. Fibrosis: a net of fine lines in the lower and outer lung."""
        for name, sign in (("right", -1.0), ("left", 1.0)):
            lung, axes = scene.centers[f"lung_{name}"], scene.axes[f"lung_{name}"]
            semi = np.linalg.norm(axes, axis=1)
            hilum = np.stack([sign * a["hilum_x"] + sign * 16, a[f"hilum_y_{name}"], lung[:, 2]], axis=-1)
            wings = hilum[:, None] + np.array([[0, 0, 0], [sign * 10, -24, 0], [sign * 10, 24, 0]], float)
            scene.cloud(
                "findings", wings, 19.0, (0.15 * self.present["Edema"] * 2 * np.pi * 19**2 * 1.15)[:, None], 22.0
            )
            net = self._draws["Fibrosis"][:, 4:40].reshape(-1, 18, 2) * (0.28, 0.13) + (sign * 0.25, -0.08)
            net = np.concatenate([net, 0 * net[..., :1]], axis=-1)
            xyz = self._lean(net * semi[:, None], axes) + lung[:, None]
            # What would lie under the diaphragm is folded back into the lung.
            floor = (scene.centers[f"dome_{name}"][:, 1] - 0.97 * scene.axes[f"dome_{name}"][:, 1, 1])[:, None]
            xyz[..., 1] = floor - np.abs(floor - xyz[..., 1])
            scene.cloud("findings", xyz, 3.4, 0.75 * self.present["Fibrosis"][:, None] * 2 * np.pi * 3.4 * 2.2, 2.2)

    def _pleura(self, scene: Scene) -> None:
        """A rind of thickened pleura along the outer wall, thickest where the patient has it."""
        name = "Pleural_Thickening"
        place, semi = self._place(scene, name, (0.0, 0.2), -0.3)
        sign = self.side(name)
        left = sign > 0
        lung = np.where(left[:, None], scene.centers["lung_left"], scene.centers["lung_right"])
        axes = np.where(left[:, None, None], scene.axes["lung_left"], scene.axes["lung_right"])
        low = (place[:, 1] - lung[:, 1]) / semi[:, 1]
        angle = np.clip(low[:, None] + np.linspace(-0.30, 0.30, 14), -0.9, 0.24)
        across = np.sqrt(1 - angle**2) - 0.05
        local = np.stack([sign[:, None] * across, angle, 0 * angle], -1) * semi[:, None]
        xyz = self._lean(local, axes) + lung[:, None]
        depth = 1.5 * self.present[name] * np.exp(0.15 * self.number(name, 4))
        scene.tube("findings", xyz, 7.5, depth[:, None])

    def _hernia(self, scene: Scene, a: Values) -> None:
        """Stomach behind the heart: a round shadow low in the midline, with air in it."""
        name = "Hernia"
        size = 25.0 * np.exp(0.12 * self.number(name, 1))
        y = a["dome_right"] - 20 + 5 * self.number(name, 2)
        center = np.stack([10 + 8 * self.number(name, 3), y, np.full_like(y, -35)], axis=-1)[:, None]
        scene.cloud("findings", center, size[:, None], (1.0 * self.present[name] * 2 * np.pi * size**2)[:, None])
        air = center - np.array([0, 6, 0])
        scene.cloud(
            "findings",
            air,
            0.6 * size[:, None],
            (-1.9 * self.present[name] * 2 * np.pi * (0.6 * size) ** 2)[:, None],
            0.45 * size[:, None],
        )
