"""What clients send and receive, as the page ``/openapi.json`` describes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cgsam_edge.datasets import FORMATS
from cgsam_edge.objects import MIN_AREA
from cgsam_edge.serve.uploads import LONGEST_NAME
from cgsam_edge.wording import amount

MOST_CONCEPTS = 10_000
LONGEST_CONCEPT = 200
MOST_CLICKS = 1000
HANDLE = r"^sha256:[0-9a-f]{64}$"
FARTHEST = 1e6
OF_PICTURES = ("overlay", "cutout", "labels")
ALL_FORMATS = ("masks", *FORMATS, *OF_PICTURES)

Concept = Annotated[str, Field(min_length=1, max_length=LONGEST_CONCEPT, description="A name or synonym.")]
Coordinate = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST)]
Point = Annotated[list[Coordinate], Field(min_length=2, max_length=2, description="(x, y) in the picture's pixels.")]
Box = Annotated[list[Coordinate], Field(min_length=4, max_length=4, description="(x0, y0, x1, y1) in pixels.")]
Label = Literal[0, 1]


def _known_format(name: str) -> str:
    if name not in ALL_FORMATS:
        raise ValueError(f"expected one of {', '.join(ALL_FORMATS)}")
    return name


Format = Annotated[str, AfterValidator(_known_format), Field(json_schema_extra={"enum": list(ALL_FORMATS)})]


class Strict(BaseModel):
    """A body that is taken as it is written: no other fields, no conversions, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ConceptPrompt(Strict):
    """Clicks and a box for one concept."""

    concept: Concept
    points: Annotated[list[Point], Field(max_length=MOST_CLICKS)] = []
    labels: Annotated[
        list[Label] | None, Field(description="For each point 1 (inside) or 0 (outside); left out: all inside.")
    ] = None
    box: Box | None = None
    zoom: Annotated[
        bool,
        Field(description="Compute the mask again in enlarged parts around the box or the clicks: sharper, slower."),
    ] = False

    @model_validator(mode="after")
    def check(self) -> ConceptPrompt:
        """Refuse labels that do not fit the points, and zoom without clicks or a box."""
        if self.zoom and self.box is None and not self.points:
            raise ValueError("zoom needs clicks or a box to zoom in on")
        if self.labels is not None and len(self.labels) != len(self.points):
            found = f"{amount(len(self.labels), 'label')} for {amount(len(self.points), 'point')}"
            raise ValueError(f"{found}; expected one for each")
        return self


class SegmentOptions(Strict):
    """What to find in a picture, and the format of the answer."""

    concepts: Annotated[
        list[Concept] | None,
        Field(max_length=MOST_CONCEPTS, description="To find by name alone. Left out: all, or none beside prompts."),
    ] = None
    prompts: Annotated[list[ConceptPrompt], Field(max_length=100, description="Concepts with clicks or a box.")] = []
    max_concepts: Annotated[int | None, Field(ge=1, le=MOST_CONCEPTS, description="Compute the likeliest ones.")] = None
    time_budget: Annotated[
        float | None, Field(gt=0, le=3600, description="Seconds after which no further concept is begun.")
    ] = None
    skip_absent: Annotated[bool, Field(description="Skip concepts that similarity alone rules out.")] = True
    min_area: Annotated[
        Annotated[int, Field(ge=1, le=10**9)] | Annotated[float, Field(ge=0, lt=1)],
        Field(description="Smallest object: pixels as a whole number, or below 1 a share of the picture."),
    ] = MIN_AREA
    format: Annotated[
        Format, Field(description="masks: JSON with COCO RLE. A data set format: a file, or a zip of several.")
    ] = "masks"

    @model_validator(mode="after")
    def check(self) -> SegmentOptions:
        """Refuse a concept with two prompts."""
        named = [one.concept for one in self.prompts]
        if len(set(named)) < len(named):
            raise ValueError("a concept occurs twice in prompts; put all of its clicks into one")
        return self


class SegmentRequest(SegmentOptions):
    """A question about a picture that was uploaded before."""

    image: Annotated[str, Field(pattern=HANDLE, description="The handle of an uploaded picture.")]
    name: Annotated[
        str, Field(min_length=1, max_length=LONGEST_NAME, description="The picture's name in a data set.")
    ] = "image"


class RunLengths(BaseModel):
    """A mask in COCO's compressed run-length encoding."""

    size: Annotated[list[int], Field(min_length=2, max_length=2, description="(height, width)")]
    counts: str


class FoundObject(BaseModel):
    """One connected part of a concept's mask."""

    area: int
    box: Annotated[list[int], Field(min_length=4, max_length=4, description="(x, y, width, height)")]
    mask: RunLengths


class FoundConcept(BaseModel):
    """One concept in a picture."""

    concept: str
    present: bool
    calibrated: Annotated[bool, Field(description="Whether present was decided by a calibration; if not, it is true.")]
    presence: float
    score: Annotated[float, Field(description="Predicted IoU of the mask.")]
    skipped: Annotated[bool, Field(description="Ruled out by similarity alone; no mask was computed.")]
    area: int
    box: Annotated[list[int], Field(min_length=4, max_length=4, description="(x, y, width, height) of the mask.")]
    mask: RunLengths
    objects: Annotated[list[FoundObject], Field(description="Connected parts, the largest first.")]
    points: list[list[float]]
    labels: list[int]
    prompt_box: list[float] | None


class Seconds(BaseModel):
    """How long the parts of an answer took."""

    queue: Annotated[float, Field(description="Waiting for the engine.")]
    image: Annotated[float, Field(description="Decoding and encoding the picture; 0 if it was kept.")]
    concepts: float


class Masks(BaseModel):
    """The answer in the format "masks"."""

    image: Annotated[str, Field(description="The picture's handle, for further questions.")]
    width: int
    height: int
    concepts: list[FoundConcept]
    left_out: Annotated[dict[str, str], Field(description="Concepts that were not computed, and the option why.")]
    seconds: Seconds


class KeptImage(BaseModel):
    """A picture that was encoded and is kept for questions."""

    image: Annotated[str, Field(description="Its handle.")]
    width: int
    height: int
    likeliest: Annotated[list[str], Field(description="All concepts, the likeliest by similarity first.")]
    ruled_out: Annotated[list[str], Field(description="Concepts that similarity alone rules out.")]
    kept: Annotated[bool, Field(description="Whether it had been encoded before.")]
    seconds: Seconds


class KnownConcept(BaseModel):
    """A concept of the bundle."""

    concept: str
    synonyms: list[str]
    calibrated: bool


class Vocabularies(BaseModel):
    """What the bundle knows."""

    bundle: str
    concepts: list[KnownConcept]
    click_slots: Annotated[int, Field(description="Most clicks of one prompt.")]
    prompts: Annotated[list[str], Field(description="Kinds of prompts that the model was trained for.")]
    max_pixels: int
    max_upload: int


class Health(BaseModel):
    """The state of the server."""

    status: Literal["ok"]
    version: str
    backend: str
    device: str


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    title: str
    status: int
    detail: str
