"""Two versions of a digit reader, trained by scikit-learn and exported to ONNX.

v1 is a logistic regression that has seen a hundred images, v2 a small network that has seen nine
hundred. The other half of scikit-learn's digits is what the service will be asked about.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
IMAGES = "images.npz"
VERSIONS = ("v1", "v2")
V1_IMAGES = 100
PIXELS = tuple(f"p{row}{column}" for row in range(8) for column in range(8))


class Images:
    """What the service is asked about: pixels from 0 to 1, and what each image truly is."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / IMAGES) as stored:
            self.pixels: Floats = stored["pixels"]
            self.truths: list[str] = [str(digit) for digit in stored["truths"].tolist()]

    def truth(self, image: int) -> str:
        return self.truths[image % len(self.truths)]

    def features(self, image: int) -> dict[str, float]:
        """The pixels by name, and how much ink there is."""
        pixels = self.pixels[image % len(self.truths)]
        named = dict(zip(PIXELS, pixels.tolist(), strict=True))
        return named | {"ink": round(float(pixels.mean()), 4)}


class Model:
    """One version, run by onnxruntime."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(path), options)

    def answer(self, pixels: Floats) -> tuple[str, float]:
        """The digit, and the probability that the model gives it."""
        labels, probabilities = self._session.run(None, {"X": pixels.reshape(1, -1)})
        return str(labels[0]), round(float(probabilities[0].max()), 6)


def path_of(folder: Path, version: str) -> Path:
    """The ONNX file of a version."""
    return folder / f"{version}.onnx"


def main() -> None:
    """`python -m penstock.demo.models FOLDER SEED`: both versions and the images are there.

    They are trained once: a run that goes on uses the files of the one before.
    """
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    if not (folder / IMAGES).exists():
        train(folder, seed=seed)
    images = Images(folder)
    for version in VERSIONS:
        model = Model(path_of(folder, version))
        answers = [model.answer(pixels)[0] for pixels in images.pixels]
        wrong = sum(a != t for a, t in zip(answers, images.truths, strict=True))
        print(f"{version} misreads {wrong} of {len(answers)} images that it has never seen")


def train(folder: Path, *, seed: int) -> None:
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    """Both versions, and the images that neither has seen; the same for the same seed."""
    pixels, truths = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    known, asked, known_truths, asked_truths = train_test_split(
        pixels, truths, test_size=0.5, stratify=truths, random_state=seed
    )
    few = LogisticRegression(max_iter=500)
    few.fit(known[:V1_IMAGES], known_truths[:V1_IMAGES])
    many = MLPClassifier((32,), solver="lbfgs", alpha=0.01, max_iter=1000, random_state=seed)
    many.fit(known, known_truths)
    for version, trained in zip(VERSIONS, (few, many), strict=True):
        exported = to_onnx(trained, known[:1], options={"zipmap": False})
        path_of(folder, version).write_bytes(exported.SerializeToString())
    np.savez(folder / IMAGES, pixels=asked, truths=asked_truths)  # last: now all of it is there


if __name__ == "__main__":
    main()
