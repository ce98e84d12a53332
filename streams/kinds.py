"""What a struct type says about a place inside it, for errors that name what is valid there."""

from collections.abc import Iterator

from msgspec import inspect


def at(kind: type, path: tuple[str | int, ...]) -> list[inspect.Type]:
    """What may stand at `path` of `kind`; empty where nothing may."""
    types = [inspect.type_info(kind)]
    for step in path:
        types = [inner for t in types for inner in _inner(t, step)]
    return types


def fields(types: list[inspect.Type]) -> list[str]:
    """The fields of the structs among `types`."""
    found = [option for t in types for option in _options(t)]
    return [f.encode_name for s in found if isinstance(s, inspect.StructType) for f in s.fields]


def words(types: list[inspect.Type]) -> list[str]:
    """The words of the closed sets among `types`."""
    found = [option for t in types for option in _options(t)]
    return [str(w) for s in found if isinstance(s, inspect.LiteralType) for w in s.values]


def example(types: list[inspect.Type]) -> str:
    """How the schema describes such a value; an empty string when it does not."""
    for kind in types:
        for option in kind.types if isinstance(kind, inspect.UnionType) else (kind,):
            if isinstance(option, inspect.Metadata) and option.extra_json_schema:
                return str(option.extra_json_schema.get("description", ""))
    return ""


def _inner(kind: inspect.Type, step: str | int) -> Iterator[inspect.Type]:
    for option in _options(kind):
        match option:
            case inspect.StructType():
                yield from (field.type for field in option.fields if field.encode_name == step)
            case inspect.DictType():
                yield option.value_type
            case inspect.ListType() | inspect.VarTupleType():
                yield option.item_type


def _options(kind: inspect.Type) -> Iterator[inspect.Type]:
    """The kinds that a union stands for, without their descriptions."""
    match kind:
        case inspect.UnionType():
            for option in kind.types:
                yield from _options(option)
        case inspect.Metadata():
            yield from _options(kind.type)
        case _:
            yield kind
