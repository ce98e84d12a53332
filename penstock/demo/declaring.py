"""The demo's model as its owner would declare it, and its versions in the registry."""

import msgspec

from penstock import registering
from penstock.demo import models, script
from penstock.demo.folder import Folder
from penstock.installation import Installation
from streams.models import Costs, Declaration, Feature, Slice, Term

BY = "demo"
DESCRIPTIONS = {
    "v1": f"logistic regression on {models.V1_IMAGES} images",
    "v2": "network of 32 neurons on 898 images",
}

DECLARATION = Declaration(
    model=script.MODEL,
    task="classification",
    owner="sorting floor",
    description="Reads the digit on a parcel.",
    classes=tuple("0123456789"),
    features={name: Feature("number", minimum=0, maximum=1) for name in (*models.PIXELS, "ink")},
    costs=Costs(false_alarm=1, miss=4, currency="EUR"),
    horizons={"outcome": "3m"},
    pair_horizon="1m",
    slices=(
        Slice("night shift", (Term(tag="shift", equals="night"),)),
        Slice("faint", (Term(feature="ink", below=0.25),)),
    ),
)


def declare(here: Installation, folder: Folder) -> None:
    """Model and versions are registered, as `penstock model` would; doing it again changes none."""
    file = folder.models / "digits.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(DECLARATION), indent=2))
    registering.register(here, file, by=BY)
    for version in models.VERSIONS:
        registering.add_version(
            here,
            script.MODEL,
            version,
            [models.path_of(folder.models, version)],
            digest=None,
            description=DESCRIPTIONS[version],
            by=BY,
        )
