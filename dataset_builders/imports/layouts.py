"""The sets of captioned person images that can be imported: one description each.

A :class:`~dataset_builders.records.layout.Layout` says of an annotation that names image files which of its keys holds
what. Sets that hold their images themselves (Arrow files, Parquet files, tar files) need no more than that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from modeling_unipt.common.table_files import folded_name

from ..records.layout import Kept, Layout

# Names of columns, as the field's tables have them. "File Name" and "FileName" are found as "file_name".
IMAGE_KEYS = (
    "image",
    "file_path",
    "img_path",
    "image_path",
    "path",
    "file_name",
    "img",
    "image_file",
    "image_name",
    "img_name",
    "file",
)
CAPTION_KEYS = (
    "captions",
    "caption",
    "texts",
    "text",
    "descriptions",
    "description",
    *(f"{word}{number}" for word in ("caption", "text", "description") for number in range(1, 10)),
)


def columns_named(columns: Iterable[str], known: Iterable[str]) -> list[str]:
    """Those columns that have one of the known names, in the order of the names; how a name is spelled is no matter."""
    folded = {folded_name(column): column for column in reversed(list(columns))}
    return list(dict.fromkeys(folded[folded_name(name)] for name in known if folded_name(name) in folded))


@dataclass(frozen=True, kw_only=True)
class ImportLayout:
    """A set that can be imported.

    Attributes:
        layout: its title, files, keys and further columns.
        form: "files": JSON names image files. "table": CSV or JSON under common names of columns does. "dataset":
            Parquet or Arrow files hold the images. "tar": tar files do.
        backend: who wrote the captions, for the column caption_backends.
        backend_of_key: key that captions stand under -> who wrote those.
        backend_of_file: part of the name of an annotation file -> who wrote its captions.
        about: what the set is, for the dataset card.
    """

    layout: Layout
    form: Literal["files", "table", "dataset", "tar"]
    backend: str
    backend_of_key: Mapping[str, str] = field(default_factory=dict)
    backend_of_file: Mapping[str, str] = field(default_factory=dict)
    about: str

    def written_by(self, file_name: str, key: str) -> str:
        """Who wrote the captions that stand under a key of a file."""
        if key in self.backend_of_key:
            return self.backend_of_key[key]
        for part, backend in self.backend_of_file.items():
            if part in file_name.lower():
                return backend
        return self.backend


PERSON_ID = Kept("id", "string", "the set's own number of the person")
LAYOUTS: dict[str, ImportLayout] = {
    "luperson-t": ImportLayout(
        layout=Layout(
            title="LUPerson-T",
            annotations=("*.json",),
            hints={
                key: "each entry must be a mapping with file_path and captions, as in the LUPerson-T that was released"
                for key in ("file_path", "captions")
            },
        ),
        form="files",
        backend="luperson-t",
        about="the LUPerson-T that the authors of UniPT released: crops of LUPerson with texts that templates wrote",
    ),
    "luperson-mllm": ImportLayout(
        layout=Layout(title="LUPerson-MLLM", annotations=("caption/T*.json", "T*.json", "*.json"), image=("image",)),
        form="files",
        backend="luperson-mllm",
        backend_of_file={"qwen": "qwen", "shikra": "shikra"},
        about="crops of LUPerson with texts of the multimodal language models Qwen and Shikra, asked with one "
        "instruction (files Ts) or with many templates (files Td)",
    ),
    "webperson": ImportLayout(
        layout=Layout(
            title="WebPerson",
            annotations=("*w.json", "*.json"),
            images=("images", ""),
            image=("image",),
            captions=("caption1", "caption2", "captions", "caption"),
        ),
        form="files",
        backend="qwen2.5-vl",
        about="people cut out of web images, with two texts of the multimodal language model Qwen2.5-VL each",
    ),
    "ham-pedes": ImportLayout(
        layout=Layout(
            title="HAM-PEDES",
            annotations=("random100w_2HAMcaptions.json", "*.json"),
            image=("file_path", "image", "img_path"),
            captions=("captions", "caption", "caption1", "caption2"),
            kept={"person_id": PERSON_ID},
        ),
        form="files",
        backend="ham",
        about="images of SYNTH-PEDES with two texts each, in the styles of a thousand human annotators",
    ),
    "synth-pedes": ImportLayout(
        layout=Layout(
            title="SYNTH-PEDES",
            annotations=("synthpedes_dataset.json", "*.json"),
            captions=("captions", "prompt_caption"),
            kept={
                "person_id": PERSON_ID,
                "set_attributes": Kept(
                    "attributes",
                    dict.fromkeys(("gender", "hair", "upper", "lower", "shoes", "carrying"), "string"),
                    "the set's own attributes",
                ),
            },
        ),
        form="files",
        backend="spac",
        backend_of_key={"prompt_caption": "prompt"},
        about="crops of LUPerson and others with texts of the captioner SPAC and one text made from attributes",
    ),
    "mals": ImportLayout(
        layout=Layout(
            title="MALS",
            annotations=("gene_attrs/g_*.json", "g_*.json", "*.json"),
            image=("image",),
            kept={
                "source_id": Kept("image_id", "string", "the set's own id of the image"),
                "labels": Kept("label", ["int64"], "the 27 labels: 1 says yes, 0 no, and -1 does not know"),
            },
        ),
        form="files",
        backend="blip",
        about="images that a diffusion model drew, with texts of BLIP and labels of 27 attributes. These are: man, "
        "over 18, long hair, no hat, no backpack, no handbag, no bag, short sleeves, short lower part, no dress or "
        "skirt; upper part not black, white, red, purple, yellow, blue, green, gray; lower part not black, white, "
        "purple, yellow, blue, green, pink, gray, brown",
    ),
    "sda": ImportLayout(
        layout=Layout(
            title="SDA",
            annotations=("sda/sda_*.json", "sda_*.json", "*.json"),
            image=("image",),
            kept={
                "source_id": Kept("image_id", "string", "the set's own id of the image"),
                "boxes": Kept("boxes", [["float32"]], "boxes of parts of the caption: x, y, width, height each"),
                "box_scores": Kept("logits", ["float32"], "how sure the detector is of each box"),
                "box_phrases": Kept("phrases", ["string"], "the part of the caption that each box shows"),
            },
        ),
        form="files",
        backend="sda",
        about="images that a diffusion model drew, with one text each and boxes of what its phrases name",
    ),
    "table": ImportLayout(
        layout=Layout(title="A table of captions", annotations=(), image=IMAGE_KEYS, captions=CAPTION_KEYS),
        form="table",
        backend="table",
        about="images and captions that a table lists",
    ),
    "webdataset": ImportLayout(
        layout=Layout(title="A captioned WebDataset", annotations=()),
        form="tar",
        backend="webdataset",
        about="images in tar files, each beside the file that holds its captions",
    ),
    "dataset": ImportLayout(
        layout=Layout(title="A dataset of images and texts", annotations=(), image=IMAGE_KEYS, captions=CAPTION_KEYS),
        form="dataset",
        backend="dataset",
        about="a dataset of images and texts",
    ),
}
