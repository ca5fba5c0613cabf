"""Predicates on the types of Arrow columns."""

import pyarrow as pa


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists."""
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def is_single(kind: pa.DataType) -> bool:
    """Whether a column holds single values: no lists, structs or bytes."""
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind))


def is_plain(kind: pa.DataType) -> bool:
    """Whether a column holds single values or lists of them."""
    if is_list(kind):
        return is_plain(kind.value_type)
    return is_single(kind) and not pa.types.is_null(kind)


def may_hold_addresses(kind: pa.DataType) -> bool:
    """Whether a column can hold web addresses: text, or lists or structs of text, but no bytes."""
    if is_list(kind):
        return may_hold_addresses(kind.value_type)
    if pa.types.is_struct(kind):
        fields = [kind.field(at).type for at in range(kind.num_fields)]
        return not any(map(pa.types.is_binary, fields)) and any(map(may_hold_addresses, fields))
    return is_plain(kind)
