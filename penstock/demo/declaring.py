"""The demo's model as its owner would declare it, and its versions in the registry."""

import msgspec

from penstock import registering
from penstock.demo import models, script
from penstock.demo.folder import Folder, Story
from penstock.installation import Installation
from streams.models import Costs, Declaration, Feature, Slice, Term

BY = "demo"
DESCRIPTIONS = {
    "v1": f"logistic regression on {models.V1_IMAGES} images",
    "v2": f"network of {models.NEURONS} neurons on 898 images",
    "v3": f"network of {models.NEURONS} neurons on 898 images, labelled by one clerk",
}

_DECLARED = Declaration(
    model=script.MODEL,
    task="classification",
    owner="sorting floor",
    description="Reads the digit on a parcel.",
    classes=tuple("0123456789"),
    features={name: Feature("number", minimum=0, maximum=1) for name in (*models.PIXELS, "ink")},
    costs=Costs(false_alarm=1, miss=4, currency="EUR"),
    slices=(
        Slice("night shift", (Term(tag="shift", equals="night"),)),
        Slice("faint", (Term(feature="ink", below=0.25),)),
    ),
)


def declaration(story: Story) -> Declaration:
    """The model; its labels are waited for as long as the story says."""
    return msgspec.structs.replace(
        _DECLARED, horizons={"outcome": story.span("4h")}, pair_horizon=story.span("30m")
    )


def declare(here: Installation, folder: Folder, story: Story) -> None:
    """Model and versions are registered, as `penstock model` would; doing it again changes none."""
    file = folder.models / "digits.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(declaration(story)), indent=2))
    registering.register(here, file, by=BY)
    for version in models.VERSIONS:
        registering.add_version(
            here,
            script.MODEL,
            version,
            [],
            bundle=models.bundle_of(folder.models, version),
            digest=None,
            description=DESCRIPTIONS[version],
            by=BY,
        )
