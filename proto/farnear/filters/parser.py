"""The grammar of filters; `farnear.filters` describes it."""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeAlias

from farnear.attributes import AttributeValue, check_value, read_number, read_time
from farnear.filters.tokens import Token, tokens
from farnear.v1 import types_pb2
from farnear.v1.filters_pb2 import FieldEquals, FieldExists, FieldOneOf, FieldRange, Filter, FilterList
from farnear.wire.values import to_value

Parameter: TypeAlias = AttributeValue | Iterable[AttributeValue]
"""What a :name stands for: a value, or behind `in` several."""

_MAX_DEPTH = 50  # the service allows 8 levels; this many can be read without an end of Python's stack

_RANGES = {"<": "below", "<=": "at_most", ">": "above", ">=": "at_least"}
_COMPARISONS = {"=", "==", "!=", *_RANGES}


class Parser:
    """Recursive descent: each method reads what its name says and leaves off behind it."""

    def __init__(self, text: str, values: Mapping[str, Parameter]) -> None:
        self._tokens = tokens(text)
        self._place = 0
        self._depth = 0
        self._values = values
        self._unused = set(values)

    def either(self) -> Filter:
        """Reads conditions joined by `or`, each of them perhaps by `and`."""
        parts = [self._both()]
        while self._take_word("or"):
            parts.append(self._both())
        flat = [inner for part in parts for inner in (part.any.filters or [part])]
        return flat[0] if len(flat) == 1 else Filter(any=FilterList(filters=flat))

    def end(self) -> None:
        """Reads the end of the text; every value must have been used by then."""
        if self._next.kind != "end":
            self._fail("and, or, or the end")
        if self._unused:
            raise ValueError(f"the filter has no {', '.join(f':{name}' for name in sorted(self._unused))}")

    def _both(self) -> Filter:
        parts = [self._one()]
        while self._take_word("and"):
            parts.append(self._one())
        return _all(parts)

    def _one(self) -> Filter:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"column {self._next.column}: nested deeper than {_MAX_DEPTH} levels")
        try:
            if self._take_sign("("):
                inner = self.either()
                self._expect_sign(")", "and, or, or ')'")
                return inner
            # An attribute may be called like a word of the grammar: what is compared is a field.
            if self._is_compared():
                return self._comparison()
            if self._take_word("not"):
                return Filter(negation=self._one())
            if self._take_word("exists"):
                self._expect_sign("(", "'('")
                field = self._field("a field")
                self._expect_sign(")", "')'")
                return Filter(exists=FieldExists(field=field))
            self._field("a condition, such as severity >= 3")
            self._fail("a comparison (=, !=, <, <=, >, >=, in, not in)")
        finally:
            self._depth -= 1

    def _comparison(self) -> Filter:
        field = self._advance().text
        if self._take_word("not"):
            if not self._take_word("in"):
                self._fail("in")
            return _without(field, self._one_of(field))
        if self._take_word("in"):
            return self._one_of(field)
        sign = self._advance().text
        value = to_value(self._value())
        if sign in _RANGES:
            # One bound, under the name that the sign has in the contract.
            bound = FieldRange(field=field)
            getattr(bound, _RANGES[sign]).CopyFrom(value)
            return Filter(range=bound)
        equals = Filter(equals=FieldEquals(field=field, value=value))
        return _without(field, equals) if sign == "!=" else equals

    def _one_of(self, field: str) -> Filter:
        values: list[types_pb2.AttributeValue]
        if self._next.kind == "parameter":
            values = [to_value(value) for value in self._several()]
        else:
            self._expect_sign("(", "'(' or a :name")
            values = [to_value(self._value())]
            while self._take_sign(","):
                values.append(to_value(self._value()))
            self._expect_sign(")", "',' or ')'")
        return Filter(one_of=FieldOneOf(field=field, values=values))

    def _value(self) -> AttributeValue:
        token = self._next
        value: AttributeValue
        match token.kind:
            case "text":
                quote = token.text[0]
                value = token.text[1:-1].replace(quote * 2, quote)
            case "number":
                value = read_number(token.text)
            case "word" if token.text.lower() in ("true", "false"):
                value = token.text.lower() == "true"
            case "time":
                try:
                    value = read_time(token.text[1:])
                except ValueError as error:
                    raise ValueError(f"column {token.column}: {error}") from error
            case "parameter":
                value = self._parameter()
            case _:
                self._fail("a value, such as 3, 'text', true or @2026-11-22")
        check_value(f"column {token.column}", value)
        self._place += 1
        return value

    def _several(self) -> list[AttributeValue]:
        token, found = self._next, self._parameter()
        if isinstance(found, str) or not isinstance(found, Iterable):
            raise TypeError(f"column {token.column}: behind in, {token.text} is a list of values, not {found!r}")
        values = list(found)
        for value in values:
            check_value(f"column {token.column}", value)
        self._place += 1
        return values

    def _parameter(self) -> Any:  # noqa: ANN401 - checked by whoever asks for one value, or for several
        name = self._next.text[1:]
        if name not in self._values:
            raise ValueError(f"column {self._next.column}: no value is given for :{name}")
        self._unused.discard(name)
        return self._values[name]

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _is_compared(self) -> bool:
        word, *behind = self._tokens[self._place : self._place + 3]
        signs = [token.text.lower() for token in behind]
        return word.kind == "word" and (signs[0] in _COMPARISONS or signs[0] == "in" or signs == ["not", "in"])

    def _take_word(self, word: str) -> bool:
        return self._take("word", word)

    def _take_sign(self, sign: str) -> bool:
        return self._take("sign", sign)

    def _take(self, kind: str, text: str) -> bool:
        is_there = self._next.kind == kind and self._next.text.lower() == text
        self._place += is_there
        return is_there

    def _expect_sign(self, sign: str, wanted: str) -> None:
        if not self._take_sign(sign):
            self._fail(wanted)

    def _field(self, wanted: str) -> str:
        if self._next.kind != "word":
            self._fail(wanted)
        return self._advance().text

    def _advance(self) -> Token:
        self._place += 1
        return self._tokens[self._place - 1]

    def _fail(self, wanted: str) -> NoReturn:
        raise ValueError(f"column {self._next.column}: expected {wanted}, found {self._next}")


def _all(parts: Iterable[Filter]) -> Filter:
    # What is joined by the same word already is taken apart, here and for `or`: the service limits levels.
    flat = [inner for part in parts for inner in (part.all.filters or [part])]
    return flat[0] if len(flat) == 1 else Filter(all=FilterList(filters=flat))


def _without(field: str, condition: Filter) -> Filter:
    """The field is there and the condition does not hold: the bare negation would match what lacks the field too."""
    return _all([Filter(exists=FieldExists(field=field)), Filter(negation=condition)])
