//! serde's view of a [`Node`].
//!
//! What enters is a node; what leaves is whatever a type asks for, or a [`Fault`] that knows the way from the root to the node at fault. It fixes
//! nothing: that is the parent module's part.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::{Fault, suggestion};
use crate::diagnostic::{Code, escaped, one_of, quoted};
use crate::yaml::parse::{Entry, Node, Value};

/// What a value is, in words for a message.
fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(true) => "the boolean `true`".to_owned(),
        Value::Bool(false) => "the boolean `false`".to_owned(),
        Value::Number(text) => format!("the number {}", quoted(text)),
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
    }
}

fn wrong_type(value: &Value, wanted: &str, help: &str) -> Fault {
    Fault::new(Code::WrongType, format!("expected {wanted}, found {}", found(value))).help(help)
}

/// A node as serde sees it.
pub(super) struct NodeDeserializer<'de> {
    node: &'de Node,
}

impl<'de> NodeDeserializer<'de> {
    pub(super) fn new(node: &'de Node) -> Self {
        Self { node }
    }

    fn text(&self) -> Result<&'de str, Fault> {
        match &self.node.value {
            Value::String(text) => Ok(text),
            Value::Number(written) => Err(needs_quotes(written, "a number")),
            Value::Bool(true) => Err(needs_quotes("true", "a boolean")),
            Value::Bool(false) => Err(needs_quotes("false", "a boolean")),
            value @ (Value::Null | Value::Sequence(_) | Value::Mapping(_)) => {
                Err(wrong_type(value, "a text", "write one text here, or remove the field"))
            }
        }
    }

    fn entries(&self) -> Result<MappingAccess<'de>, Fault> {
        match &self.node.value {
            Value::Mapping(entries) => Ok(MappingAccess { entries, next: 0 }),
            value @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Sequence(_)) => {
                Err(wrong_type(value, "a mapping", "write fields below it, indented, as in `name: value`"))
            }
        }
    }

    fn items(&self) -> Result<SequenceAccess<'de>, Fault> {
        match &self.node.value {
            Value::Sequence(items) => Ok(SequenceAccess { items, next: 0 }),
            value @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Mapping(_)) => {
                let help = match value {
                    Value::String(text) | Value::Number(text) => format!("write a list: [{}]", escaped(text)),
                    Value::Null | Value::Bool(_) | Value::Sequence(_) | Value::Mapping(_) => {
                        "write a list, as in [one, two]".to_owned()
                    }
                };
                Err(wrong_type(value, "a list", &help))
            }
        }
    }

    fn integer<T: std::str::FromStr>(&self, least: &str, greatest: &str) -> Result<T, Fault> {
        let wanted = || format!("a whole number from {least} to {greatest}");
        match &self.node.value {
            Value::Number(written) => {
                let digits = written.strip_prefix(['+', '-']).unwrap_or(written);
                if digits.len() > 1
                    && digits.starts_with('0')
                    && digits.bytes().all(|byte| byte.is_ascii_digit())
                {
                    return Err(Fault::new(
                        Code::InvalidValue,
                        format!(
                            "the number {} starts with 0, which some readers take for octal",
                            quoted(written)
                        ),
                    )
                    .help("write it without the leading zeros"));
                }
                written.parse().map_err(|_| {
                    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                    let help =
                        if is_whole { "write a number in this range" } else { "write decimal digits only" };
                    Fault::new(Code::OutOfRange, format!("expected {}, found {}", wanted(), quoted(written)))
                        .help(help)
                })
            }
            Value::String(text) if text.parse::<T>().is_ok() => {
                Err(wrong_type(&self.node.value, &wanted(), "remove the quotes"))
            }
            value @ (Value::Null
            | Value::Bool(_)
            | Value::String(_)
            | Value::Sequence(_)
            | Value::Mapping(_)) => Err(wrong_type(value, &wanted(), "write digits only, without quotes")),
        }
    }
}

fn needs_quotes(written: &str, kind: &str) -> Fault {
    Fault::new(
        Code::QuotesNeeded,
        format!("expected a text, but {} without quotes is {kind}", quoted(written)),
    )
    .help(format!("quote it: \"{}\"", escaped(written)))
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            visitor.$visit(self.integer::<$type>(&<$type>::MIN.to_string(), &<$type>::MAX.to_string())?)
        })*
    };
}

impl<'de> Deserializer<'de> for NodeDeserializer<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(written) => {
                match (written.parse::<u64>(), written.parse::<i64>(), written.parse::<f64>()) {
                    (Ok(number), _, _) => visitor.visit_u64(number),
                    (_, Ok(number), _) => visitor.visit_i64(number),
                    (_, _, Ok(number)) => visitor.visit_f64(number),
                    (Err(_), Err(_), Err(_)) => {
                        Err(wrong_type(&self.node.value, "a decimal number", "write digits only"))
                    }
                }
            }
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Sequence(items) => visitor.visit_seq(SequenceAccess { items, next: 0 }),
            Value::Mapping(entries) => visitor.visit_map(MappingAccess { entries, next: 0 }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            value @ (Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Sequence(_)
            | Value::Mapping(_)) => {
                Err(wrong_type(value, "`true` or `false`", "write `true` or `false`, without quotes"))
            }
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        // `validity:` with nothing behind it is a value that someone forgot, not a wish for the default.
        if self.node.value == Value::Null {
            let fault = Fault::new(Code::WrongType, "there is no value");
            return Err(fault.label("nothing here").help("write a value, or remove the field"));
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(self.items()?)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(self.entries()?)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::String(word) => visitor.visit_enum(VariantOf { word, content: None }),
            Value::Mapping(entries) => match entries.as_slice() {
                [entry] => {
                    visitor.visit_enum(VariantOf { word: &entry.key.name, content: Some(&entry.value) })
                }
                [] => {
                    let fault =
                        Fault::new(Code::NotExactlyOne, "exactly one field is wanted, and there is none");
                    Err(fault.help(suggestion("", variants)))
                }
                [_, _, ..] => Err(Fault::new(Code::NotExactlyOne, "only one of these fields can be given")
                    .help(format!("keep exactly one of {}", one_of(variants.iter().copied())))
                    .at_key(1)),
            },
            value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Sequence(_)) => {
                Err(wrong_type(value, "one word", &suggestion("", variants)))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple_struct identifier
    }
}

struct MappingAccess<'de> {
    entries: &'de [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for MappingAccess<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        let key: StrDeserializer<'_, Fault> = StrDeserializer::new(&entry.key.name);
        seed.deserialize(key).map(Some).map_err(|fault| fault.at_key(self.next))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let index = self.next;
        self.next += 1;
        match self.entries.get(index) {
            Some(entry) => {
                seed.deserialize(NodeDeserializer::new(&entry.value)).map_err(|fault| fault.inside(index))
            }
            None => Err(Fault::new(Code::WrongType, "a value was asked for where there is none")),
        }
    }
}

struct SequenceAccess<'de> {
    items: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for SequenceAccess<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let index = self.next;
        self.next += 1;
        self.items
            .get(index)
            .map(|item| seed.deserialize(NodeDeserializer::new(item)).map_err(|fault| fault.inside(index)))
            .transpose()
    }
}

/// A word alone, or the one field of a mapping.
struct VariantOf<'de> {
    word: &'de str,
    content: Option<&'de Node>,
}

impl<'de> EnumAccess<'de> for VariantOf<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let word: StrDeserializer<'_, Fault> = StrDeserializer::new(self.word);
        match (seed.deserialize(word), self.content) {
            (Ok(variant), _) => Ok((variant, self)),
            (Err(fault), None) => Err(fault),
            (Err(fault), Some(_)) => Err(fault.at_key(0)),
        }
    }
}

impl<'de> VariantOf<'de> {
    fn content(&self) -> Result<NodeDeserializer<'de>, Fault> {
        self.content.map(NodeDeserializer::new).ok_or_else(|| {
            Fault::new(Code::WrongType, format!("{} needs a value of its own", quoted(self.word)))
                .help(format!("write {}", quoted(&format!("{}: ...", self.word))))
        })
    }
}

impl<'de> VariantAccess<'de> for VariantOf<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            None => Ok(()),
            Some(_) => Err(Fault::new(Code::WrongType, format!("{} stands alone", quoted(self.word)))
                .help(format!("write only the word {}", quoted(self.word)))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self.content()?).map_err(|fault| fault.inside(0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Fault> {
        self.content()?.deserialize_seq(visitor).map_err(|fault| fault.inside(0))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.content()?.deserialize_map(visitor).map_err(|fault| fault.inside(0))
    }
}
