//! What a handler is given of a request: the path's parameters, the query, the body.

use std::marker::PhantomData;

use rbd_model::fault::Fault;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::media::MediaType;
use crate::{body, query};

/// How a type's schema is made.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A request as its handler gets it, of the types that the endpoint declares.
#[derive(Debug)]
pub struct Input<P, Q = NoQuery, B = NoBody> {
    /// The path's parameters.
    pub path: P,
    /// The query's parameters.
    pub query: Q,
    /// The body.
    pub body: B,
}

/// What a query may be: [`NoQuery`], or a type that is read from one and described.
pub trait Query: Sized + Send + 'static {
    /// The schema of the object whose properties are the parameters.
    fn schema() -> Option<SchemaOf>;

    /// Reads it.
    ///
    /// # Errors
    /// `invalid-field` with the parameter's name.
    fn read(query: &str) -> Result<Self, Fault>;
}

/// Parameters of a query are passed over.
#[derive(Debug, Clone, Copy)]
pub struct NoQuery;

impl Query for NoQuery {
    fn schema() -> Option<SchemaOf> {
        None
    }

    fn read(_: &str) -> Result<Self, Fault> {
        Ok(Self)
    }
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Query for T {
    fn schema() -> Option<SchemaOf> {
        Some(|generator| generator.subschema_for::<T>())
    }

    fn read(query: &str) -> Result<Self, Fault> {
        query::read(query)
    }
}

/// What a request's body may be.
#[derive(Clone, Copy)]
pub enum BodyKind {
    /// None.
    None,
    /// JSON.
    Json {
        /// Its schema.
        schema: SchemaOf,
        /// Whether it must be there.
        required: bool,
    },
    /// A stream of bytes.
    Bytes,
}

/// A body: [`NoBody`], [`Json`], [`OptionalJson`] or [`Bytes`].
pub trait Body: Sized + Send + 'static {
    /// What it is, for the description.
    fn kind() -> BodyKind;
}

/// There is none; what is sent is not read.
#[derive(Debug, Clone, Copy)]
pub struct NoBody;

impl Body for NoBody {
    fn kind() -> BodyKind {
        BodyKind::None
    }
}

/// A JSON object.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Json<T> {
    /// Reads it, see [`body::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        body::read(bytes).map(Self)
    }
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Body for Json<T> {
    fn kind() -> BodyKind {
        BodyKind::Json { schema: |generator| generator.subschema_for::<T>(), required: true }
    }
}

/// A JSON object, or none for the defaults.
#[derive(Debug, Clone)]
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default + JsonSchema + Send + 'static> Body for OptionalJson<T> {
    fn kind() -> BodyKind {
        BodyKind::Json { schema: |generator| generator.subschema_for::<T>(), required: false }
    }
}

/// A stream of bytes of a media type, which the handler reads itself.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<M>(PhantomData<fn() -> M>);

impl<M> Default for Bytes<M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<M: MediaType> Body for Bytes<M> {
    fn kind() -> BodyKind {
        BodyKind::Bytes
    }
}
