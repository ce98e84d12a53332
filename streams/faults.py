"""What a decoder's error says to the person who sent the event: a code, a field and a rule."""

import json
import re

import msgspec

from streams.events import TYPES, Fault

MAX_DETAIL = 300  # characters: an error that quotes what was sent quotes no more than this
_WHERE = re.compile(r" - at (`key` in )?`\$\.?([^`]*)`$")


def fault_of(error: Exception, line: bytes = b"") -> Fault:
    """Why `line` raised `error` in a decoder of msgspec's."""
    if isinstance(error, RecursionError):
        return Fault("too_deep", "", "nested too deeply to read")
    if isinstance(error, UnicodeDecodeError):
        return Fault("bad_encoding", "", f"not UTF-8: {error.reason}")
    if not isinstance(error, msgspec.ValidationError):
        return _syntax_fault(str(error), line)
    return _rule_fault(str(error))


def _syntax_fault(reason: str, line: bytes) -> Fault:
    if _has_lone_surrogate(line):
        return Fault("bad_encoding", "", "a \\u escape names half of a surrogate pair")
    return Fault("malformed_json", "", reason[:MAX_DETAIL])


def _rule_fault(reason: str) -> Fault:
    rule, is_name, field = _parted(reason)
    if "missing required field" in rule:
        return Fault("missing_field", _joined(field, rule.split("`")[1]), rule.replace("`", ""))
    if field == "type" and rule.startswith("Invalid value"):
        return Fault("unknown_type", "type", f"{rule[:120]}; known types are {', '.join(TYPES)}")
    said = rule.replace("`", "")[:MAX_DETAIL]
    return Fault(_code(rule), field, f"a name in it: {said}" if is_name else said)


def _parted(reason: str) -> tuple[str, bool, str]:
    """msgspec's rule, whether it is about the name of a field, and the path of the field."""
    where = _WHERE.search(reason)
    if where is None:
        return reason, False, ""
    return reason[: where.start()], where[1] is not None, where[2]


def _joined(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name


def _code(rule: str) -> str:
    if any(word in rule for word in ("<=", ">=", "length", "out of range", "timezone")):
        return "out_of_range"
    return "wrong_type" if rule.startswith("Expected") else "invalid_value"


def _has_lone_surrogate(line: bytes) -> bool:
    """Whether `line` is JSON to a reader that lets halves of surrogate pairs pass."""
    if b"\\u" not in line:
        return False
    try:
        json.dumps(json.loads(line), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False
    return False
