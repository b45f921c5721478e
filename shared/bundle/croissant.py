"""croissant.json of a bundle: what its files are, as Croissant 1.0 describes data sets in JSON-LD.

Source: the specification at docs.mlcommons.org/croissant/docs/croissant-spec.html. Of the rows the flat fields are
described; prompt and completion are question and answer once more.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from shared.bundle.fields import SCHEMA
from shared.bundle.names import EPISODES, SPLITS, jsonl_path, parquet_path

Json = dict[str, Any]

_CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_TYPES = {
    pa.int64(): "sc:Integer",
    pa.int32(): "sc:Integer",
    pa.bool_(): "sc:Boolean",
    pa.string(): "sc:Text",
    pa.timestamp("us", tz="UTC"): "sc:DateTime",
}


def croissant(manifest: Mapping[str, Any]) -> Json:
    """The metadata of a bundle whose manifest has the files of its data."""
    rehearsal = " Rehearsal: simulated models wrote of it; do not train on it." if manifest["rehearsal"] else ""
    files = manifest["files"]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": manifest["dataset"],
        "description": f"{manifest['rows']['total']:,} questions with answers, made with Questmill.{rehearsal}",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": "unknown",
        "distribution": [_file_object(path, files[path], encoding) for path, encoding in described_files().items()],
        "recordSet": [_record_set(split, parquet_path(split)) for split in SPLITS],
    }


def described_files() -> dict[str, str]:
    """The paths that are described, each with its format."""
    return {
        **{parquet_path(split): "application/x-parquet" for split in SPLITS},
        **{jsonl_path(split): "application/jsonlines" for split in SPLITS},
        EPISODES: "application/jsonlines",
    }


def _file_object(path: str, its: Mapping[str, Any], encoding: str) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{its['bytes']} B",
        "encodingFormat": encoding,
        "sha256": its["sha256"],
    }


def _record_set(split: str, path: str) -> Json:
    fields = [_field(split, path, field) for field in SCHEMA]
    return {"@type": "cr:RecordSet", "@id": split, "name": split, "field": [each for each in fields if each]}


def _field(split: str, path: str, field: pa.Field) -> Json | None:
    repeated = pa.types.is_list(field.type)
    kind = _TYPES.get(field.type.value_type if repeated else field.type)
    if kind is None:
        return None
    return {
        "@type": "cr:Field",
        "@id": f"{split}/{field.name}",
        "name": field.name,
        "dataType": kind,
        **({"repeated": True} if repeated else {}),
        "source": {"fileObject": {"@id": path}, "extract": {"column": field.name}},
    }
