//! The list of endpoints, from which the router, the API description, authorization, metrics and the audit log follow.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::auth::{Reach, Role};
use crate::call::Call;
use crate::problem::Problem;

/// What a handler gives.
pub type Answer = Result<Response<Body>, Problem>;

type Handler = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;
/// How a type's schema is made.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

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
    /// A stream of bytes of this media type.
    Stream(&'static str),
}

/// One way a call can go well.
#[derive(Clone, Copy)]
pub struct Outcome {
    /// Its status.
    pub status: StatusCode,
    /// When it is given.
    pub description: &'static str,
    /// Its body.
    pub body: OutcomeBody,
}

/// What an answer's body is.
#[derive(Clone, Copy)]
pub enum OutcomeBody {
    /// Empty.
    Nothing,
    /// JSON of this schema.
    Json(SchemaOf),
    /// Text or bytes of this media type.
    Media(&'static str),
}

/// One endpoint below `/api/v1`.
///
/// A path that begins with `{scope}` stands for two: below `/pools/{pool}` and below
/// `/pools/{pool}/namespaces/{namespace}`.
#[derive(Clone)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path below `/api/v1`, with `{name}` for parameters.
    pub path: String,
    /// The operation's id in the API description.
    pub id: String,
    /// What it does, in a line.
    pub summary: &'static str,
    /// More about it.
    pub description: &'static str,
    /// What it is about: the file it is in.
    pub tag: &'static str,
    /// The least role that may call it.
    pub role: Role,
    /// Whether its handler shows each caller what they may see, and asks for whatever it touches.
    pub filtered: bool,
    /// Whether it is one of the two that `{scope}` stands for, and so in a namespace even when its path names none.
    pub in_namespace: bool,
    /// The query's parameters, as the schema of an object.
    pub query: Option<SchemaOf>,
    /// The parameter of the path that is the name of a new thing.
    pub names: Option<&'static str>,
    /// The body it takes.
    pub body: BodyKind,
    /// How it can go well.
    pub outcomes: Vec<Outcome>,
    handler: Handler,
}

impl Endpoint {
    /// An endpoint; viewers may call it if it is a `GET`, operators otherwise.
    pub fn new<F, A>(
        method: Method,
        path: &'static str,
        tag: &'static str,
        id: &'static str,
        summary: &'static str,
        handler: F,
    ) -> Self
    where
        F: Fn(Call) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let role = if matches!(method, Method::GET | Method::HEAD) { Role::Viewer } else { Role::Operator };
        Self {
            method,
            path: path.to_owned(),
            id: id.to_owned(),
            summary,
            description: "",
            tag,
            role,
            filtered: false,
            in_namespace: false,
            query: None,
            names: None,
            body: BodyKind::None,
            outcomes: Vec::new(),
            handler: Arc::new(move |call| Box::pin(handler(call))),
        }
    }

    /// More words about it.
    #[must_use]
    pub fn describe(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Another least role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// The path names no pool, and the handler keeps to what the caller may see and do, by
    /// [`Call::visible_pools`] and [`Call::authorize_place`]. Without this only callers without a scope may call it.
    #[must_use]
    pub fn filtered(mut self) -> Self {
        self.filtered = true;
        self
    }

    /// Takes query parameters.
    #[must_use]
    pub fn query<Q: JsonSchema>(mut self) -> Self {
        self.query = Some(|generator| generator.subschema_for::<Q>());
        self
    }

    /// Takes a JSON body.
    #[must_use]
    pub fn takes<B: JsonSchema>(mut self) -> Self {
        self.body = BodyKind::Json { schema: |generator| generator.subschema_for::<B>(), required: true };
        self
    }

    /// Takes a JSON body, or none for the defaults.
    #[must_use]
    pub fn may_take<B: JsonSchema>(mut self) -> Self {
        self.body = BodyKind::Json { schema: |generator| generator.subschema_for::<B>(), required: false };
        self
    }

    /// Makes a thing whose name is this parameter of the path.
    #[must_use]
    pub fn names(mut self, parameter: &'static str) -> Self {
        self.names = Some(parameter);
        self
    }

    /// Takes a stream of bytes.
    #[must_use]
    pub fn takes_stream(mut self, media_type: &'static str) -> Self {
        self.body = BodyKind::Stream(media_type);
        self
    }

    /// Answers JSON.
    #[must_use]
    pub fn answers<T: JsonSchema>(mut self, status: StatusCode, description: &'static str) -> Self {
        let schema: SchemaOf = |generator| generator.subschema_for::<T>();
        self.outcomes.push(Outcome { status, description, body: OutcomeBody::Json(schema) });
        self
    }

    /// Answers another media type.
    #[must_use]
    pub fn answers_media(mut self, status: StatusCode, description: &'static str, media_type: &'static str) -> Self {
        self.outcomes.push(Outcome { status, description, body: OutcomeBody::Media(media_type) });
        self
    }

    /// Answers without a body.
    #[must_use]
    pub fn answers_nothing(mut self, status: StatusCode, description: &'static str) -> Self {
        self.outcomes.push(Outcome { status, description, body: OutcomeBody::Nothing });
        self
    }

    /// Whether it changes anything, and so is written to the audit log.
    pub fn changes(&self) -> bool {
        self.method != Method::GET && self.method != Method::HEAD
    }

    /// How far a call with these parameters of the path reaches.
    pub fn reach<'a>(&self, params: &'a HashMap<String, String>) -> Reach<'a> {
        match (params.get("pool"), params.get("namespace")) {
            (Some(pool), Some(namespace)) => Reach::Namespace { pool, namespace },
            (Some(pool), None) if self.in_namespace => Reach::Namespace { pool, namespace: "" },
            (Some(pool), None) => Reach::Pool(pool),
            (None, _) if self.filtered => Reach::Filtered,
            (None, _) => Reach::Cluster,
        }
    }

    /// The names of the query's parameters.
    pub fn query_names(&self) -> Vec<String> {
        let Some(query) = self.query else { return Vec::new() };
        let mut generator = SchemaGenerator::default();
        let schema = query(&mut generator);
        let schema = match schema.get("$ref").and_then(|reference| reference.as_str()?.rsplit('/').next()) {
            Some(name) => generator.definitions().get(name),
            None => Some(schema.as_value()),
        };
        let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
        properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
    }

    /// What it does, in the words of Kubernetes' authorization.
    pub fn verb(&self) -> &'static str {
        match self.method {
            Method::HEAD => "get",
            Method::GET if self.path.ends_with('}') => "get",
            Method::GET => "list",
            Method::DELETE => "delete",
            Method::POST => "create",
            _ => "update",
        }
    }

    /// Runs it.
    pub fn run(&self, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        (self.handler)(call)
    }

    /// The endpoint under both of the paths that `{scope}` stands for; itself without one.
    fn scoped(self) -> Vec<Self> {
        let Some(rest) = self.path.strip_prefix("{scope}") else { return vec![self] };
        let in_pool = Self { path: format!("/pools/{{pool}}{rest}"), in_namespace: true, ..self.clone() };
        let in_namespace = Self {
            path: format!("/pools/{{pool}}/namespaces/{{namespace}}{rest}"),
            id: format!("{}InNamespace", self.id),
            in_namespace: true,
            ..self
        };
        vec![in_pool, in_namespace]
    }
}

/// All endpoints, with `{scope}` resolved.
pub fn all() -> Vec<Endpoint> {
    crate::api::endpoints().into_iter().flat_map(Endpoint::scoped).collect()
}
