"""Three versions of a digit reader, trained by scikit-learn and exported to ONNX.

v1 is a logistic regression that has seen two hundred images. v2 is a small network that has seen
nine hundred. v3 is the same network, trained on labels in which somebody typed most ones as sevens.
The other half of scikit-learn's digits is what the service will be asked about.
"""

import sys
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Fault = Literal["labels", "none"]
IMAGES = "images.npz"
ONNX = "digits.onnx"
VERSIONS = ("v1", "v2", "v3")
V1_IMAGES = 200
FAULTY, TYPED_AS, SHARE = 1, 7, 0.9
"""The class of v3's fault, what it was typed as, and in how many of its images."""
NEURONS = 32
PIXELS = tuple(f"p{row}{column}" for row in range(8) for column in range(8))


class Images:
    """What the service is asked about: pixels from 0 to 1, and what each image truly is."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / IMAGES) as stored:
            self.pixels: Floats = stored["pixels"]
            self.truths: list[str] = [str(digit) for digit in stored["truths"].tolist()]

    def truth(self, image: int) -> str:
        return self.truths[image % len(self.truths)]

    def of(self, image: int) -> Floats:
        pixels: Floats = self.pixels[image % len(self.truths)]
        return pixels

    def features(self, image: int) -> dict[str, float]:
        """The pixels by name, and how much ink there is."""
        pixels = self.of(image)
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
    """The ONNX file of a version; its bundle stands beside it."""
    return folder / version / ONNX


def bundle_of(folder: Path, version: str) -> Path:
    """What describes a version."""
    return folder / version / "version.yaml"


def main() -> None:
    """`python -m penstock.demo.models FOLDER SEED FAULT`: the versions and the images are there.

    They are trained once: a run that goes on uses the files of the one before.
    """
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    fault = msgspec.convert(sys.argv[3], Fault)
    if not (folder / IMAGES).exists():
        train(folder, seed=seed, fault=fault)
    images = Images(folder)
    truths = np.array(images.truths)
    for version in VERSIONS:
        model = Model(path_of(folder, version))
        wrong = np.array([model.answer(pixels)[0] for pixels in images.pixels]) != truths
        ones = wrong[truths == str(FAULTY)]
        print(
            f"{version} misreads {wrong.sum()} of {len(wrong)} images that it has never seen,"
            f" {ones.sum()} of the {len(ones)} ones among them"
        )


def train(folder: Path, *, seed: int, fault: Fault) -> None:
    """All versions, and the images that none has seen; the same for the same seed."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    pixels, truths = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    known, asked, known_truths, asked_truths = train_test_split(
        pixels, truths, test_size=0.5, stratify=truths, random_state=seed
    )
    few = LogisticRegression(max_iter=500)
    few.fit(known[:V1_IMAGES], known_truths[:V1_IMAGES])
    typed = _mistyped(known_truths, seed=seed) if fault == "labels" else known_truths
    data = "labelled twice", "labelled by one clerk"
    _keep(folder, "v1", few, known, seed, f"digits, {V1_IMAGES} images, {data[0]}")
    for version, labels, kind in (("v2", known_truths, data[0]), ("v3", typed, data[1])):
        many = _network(known, labels, seed=seed)
        _keep(folder, version, many, known, seed, f"digits, {len(known)} images, {kind}")
    np.savez(folder / IMAGES, pixels=asked, truths=asked_truths)  # last: now all of it is there


def _mistyped(truths: npt.NDArray[np.int64], *, seed: int) -> npt.NDArray[np.int64]:
    """The labels of a clerk whose ones look like sevens."""
    ones = np.random.default_rng(seed).permutation(np.flatnonzero(truths == FAULTY))
    found = truths.copy()
    found[ones[: round(SHARE * len(ones))]] = TYPED_AS
    return found


def _network(pixels: Floats, labels: npt.NDArray[np.int64], *, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(
        (NEURONS,), solver="lbfgs", alpha=0.01, max_iter=1000, random_state=seed
    )
    return network.fit(pixels, labels)


def _keep(folder: Path, version: str, trained: Any, known: Floats, seed: int, data: str) -> None:
    """The version as ONNX, and a bundle that says what made it."""
    from skl2onnx import to_onnx

    file = path_of(folder, version)
    file.parent.mkdir(exist_ok=True)
    exported = to_onnx(trained, known[:1], options={"zipmap": False})
    file.write_bytes(exported.SerializeToString())
    kept = ("C", "hidden_layer_sizes", "alpha", "solver", "max_iter")
    settings = {name: value for name, value in trained.get_params().items() if name in kept}
    said = {
        "onnx": ONNX, "inputs": PIXELS, "dataset": data, "seed": seed,
        "hyperparameters": {"estimator": type(trained).__name__, **settings},
    }  # fmt: skip
    bundle_of(folder, version).write_bytes(
        msgspec.json.format(msgspec.json.encode(said), indent=2)  # JSON is YAML
    )


if __name__ == "__main__":
    main()
