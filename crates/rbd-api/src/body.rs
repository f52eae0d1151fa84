//! JSON bodies, read strictly.
//!
//! The derived readers of structs also take an array, field by field in the order of the source, and let a later field of
//! the same name win or fail, by the type. A body is meant by its fields' names: so it is read into a tree first, which
//! rejects names that stand there twice, and structs are read from objects of it only, however deep they are.

use rbd_model::fault::{Fault, Kind};
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeOwned, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

/// A body's value from its bytes.
///
/// # Errors
/// `bad-request` for what is not JSON; `invalid-field` with the field's path for what is not of the type, and for a name
/// that is there twice.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let tree: StrictJson = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            wrong(&path, &inner.to_string())
        } else {
            Fault::new(Kind::BadRequest, format!("The body is not JSON: {inner}."))
                .correction("Send one JSON object, as the endpoint's body in /openapi.json.")
        }
    })?;
    reader.end().map_err(|error| {
        Fault::new(Kind::BadRequest, format!("Something follows the JSON body: {error}."))
            .correction("Send one JSON object and nothing after it.")
    })?;
    serde_path_to_error::deserialize(tree).map_err(|error| wrong(&error.path().to_string(), &error.inner().to_string()))
}

fn wrong(path: &str, what: &str) -> Fault {
    let field = if path == "." { "body" } else { path };
    Fault::new(Kind::InvalidField, format!("{field}: {what}"))
        .correction("See the endpoint's body in /openapi.json.")
        .with("field", field)
}

/// A JSON value in which no object has a name twice.
#[derive(Debug, Clone, PartialEq)]
enum StrictJson {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<StrictJson>),
    Object(Vec<(String, StrictJson)>),
}

impl<'de> Deserialize<'de> for StrictJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictJsonVisitor)
    }
}

struct StrictJsonVisitor;

impl<'de> Visitor<'de> for StrictJsonVisitor {
    type Value = StrictJson;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<StrictJson, E> {
        Ok(StrictJson::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<StrictJson, E> {
        Ok(StrictJson::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<StrictJson, E> {
        Ok(StrictJson::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<StrictJson, E> {
        Ok(StrictJson::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<StrictJson, E> {
        Ok(StrictJson::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<StrictJson, E> {
        Ok(StrictJson::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<StrictJson, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(StrictJson::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<StrictJson, A::Error> {
        let mut known = std::collections::HashSet::new();
        let mut object = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            // Read or rejected as the value, so that the error has the field's path.
            let value = if known.insert(name.clone()) {
                fields.next_value()?
            } else {
                fields.next_value_seed(RepeatedValue)?
            };
            object.push((name, value));
        }
        Ok(StrictJson::Object(object))
    }
}

/// The value of a name that was there before.
struct RepeatedValue;

impl<'de> de::DeserializeSeed<'de> for RepeatedValue {
    type Value = StrictJson;

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<StrictJson, D::Error> {
        Err(D::Error::custom("is there twice"))
    }
}

impl StrictJson {
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Null => Unexpected::Unit,
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::Unsigned(value) => Unexpected::Unsigned(*value),
            Self::Signed(value) => Unexpected::Signed(*value),
            Self::Float(value) => Unexpected::Float(*value),
            Self::Text(value) => Unexpected::Str(value),
            Self::List(_) => Unexpected::Seq,
            Self::Object(_) => Unexpected::Map,
        }
    }
}

impl IntoDeserializer<'_, Error> for StrictJson {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// `5.0` is the integer 5 to JSON Schema. Above 2^53 a float no longer says which integer is meant.
fn whole(value: f64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a whole number within range")]
    ((0.0..=EXACT).contains(&value) && value.fract() == 0.0).then_some(value as u64)
}

impl<'de> Deserializer<'de> for StrictJson {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::Float(value) => match whole(value) {
                Some(value) => visitor.visit_u64(value),
                None => visitor.visit_f64(value),
            },
            Self::Text(value) => visitor.visit_string(value),
            Self::List(items) => {
                let mut access = SeqDeserializer::new(items.into_iter());
                let value = visitor.visit_seq(&mut access)?;
                access.end()?;
                Ok(value)
            }
            Self::Object(fields) => {
                let mut access = MapDeserializer::new(fields.into_iter());
                let value = visitor.visit_map(&mut access)?;
                access.end()?;
                Ok(value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self == Self::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Object(_) => self.deserialize_any(visitor),
            other => Err(Error::invalid_type(other.unexpected(), &"an object")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Text(variant) => visitor.visit_enum(Variant(variant)),
            other => Err(Error::invalid_type(other.unexpected(), &"a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// A variant without content.
struct Variant(String);

impl<'de> EnumAccess<'de> for Variant {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let name: de::value::StrDeserializer<'_, Error> = self.0.as_str().into_deserializer();
        Ok((seed.deserialize(name)?, Self(String::new())))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Error> {
        Err(Error::invalid_type(Unexpected::UnitVariant, &"a variant with content"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::invalid_type(Unexpected::UnitVariant, &"a variant with content"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(Error::invalid_type(Unexpected::UnitVariant, &"a variant with content"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        On,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Inner {
        size_bytes: u64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Outer {
        name: String,
        inner: Option<Inner>,
        #[serde(default)]
        many: Vec<Inner>,
        #[serde(default)]
        labels: BTreeMap<String, String>,
        mode: Option<Mode>,
    }

    fn rejected(text: &str) -> (Kind, String) {
        let fault = read::<Outer>(text.as_bytes()).unwrap_err();
        let field = fault.member("field").and_then(|field| field.as_str().map(str::to_owned));
        (fault.kind(), field.unwrap_or_default())
    }

    #[test]
    fn object_of_the_type_is_read() {
        let text = r#"{"name":"a","inner":{"sizeBytes":5},"many":[{"sizeBytes":5.0}],"labels":{"b":"c"},"mode":"on"}"#;
        let expected = Outer {
            name: "a".into(),
            inner: Some(Inner { size_bytes: 5 }),
            many: vec![Inner { size_bytes: 5 }],
            labels: [("b".to_owned(), "c".to_owned())].into(),
            mode: Some(Mode::On),
        };
        assert_eq!(read::<Outer>(text.as_bytes()).unwrap(), expected);
        let least: Outer = read(br#"{"name":"a","inner":null}"#).unwrap();
        assert_eq!(least.inner, None);
    }

    #[test]
    fn anything_else_is_rejected_with_its_place() {
        for (text, field) in [
            (r#"["a",{"sizeBytes":5}]"#, "body"),
            (r#"{"name":"a","inner":[5]}"#, "inner"),
            (r#"{"name":"a","many":[{"sizeBytes":1},[5]]}"#, "many[1]"),
            (r#"{"name":"a","name":"b"}"#, "name"),
            (r#"{"name":"a","inner":{"sizeBytes":1,"sizeBytes":2}}"#, "inner.sizeBytes"),
            (r#"{"name":"a","labels":{"b":"c","b":"d"}}"#, "labels.b"),
            (r#"{"name":"a","labels":[["b","c"]]}"#, "labels"),
            (r#"{"name":"a","other":1}"#, "other"),
            (r#"{"name":"a","inner":{"sizeBytes":5.5}}"#, "inner.sizeBytes"),
            (r#"{"name":"a","inner":{"sizeBytes":-5.0}}"#, "inner.sizeBytes"),
            (r#"{"name":"a","inner":{"sizeBytes":"5"}}"#, "inner.sizeBytes"),
            (r#"{"name":"a","mode":{"on":null}}"#, "mode"),
            (r#"{"name":"a","mode":"off"}"#, "mode"),
            ("null", "body"),
            ("5", "body"),
        ] {
            assert_eq!(rejected(text), (Kind::InvalidField, field.to_owned()), "{text}");
        }
        for text in ["", "{", r#"{"name":"a"} x"#, "\u{feff}{}", "{'name':'a'}", "NaN"] {
            assert_eq!(rejected(text).0, Kind::BadRequest, "{text:?}");
        }
    }
}
