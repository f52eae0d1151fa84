//! The declaration of an endpoint, from which router, description, authorization, metrics and the audit log follow.
//!
//! An [`Endpoint`] is a constant whose type says what its handler takes and answers. The service binds a handler of exactly
//! these types to it, so that what is described is what is read and written.

use std::marker::PhantomData;

use http::Method;
use schemars::SchemaGenerator;

use crate::answer::{Answer, AnswerBody};
use crate::input::{Body, BodyKind, Query, SchemaOf};
use crate::path::Path;
use crate::role::Role;

/// One endpoint below `/api/v1`: how its path is read, its query, its body, and what it answers.
///
/// A path that begins with `{scope}` stands for two: below `/pools/{pool}` and below
/// `/pools/{pool}/namespaces/{namespace}`.
pub struct Endpoint<P, Q, B, A> {
    method: Method,
    path: &'static str,
    tag: &'static str,
    id: &'static str,
    summary: &'static str,
    description: &'static str,
    role: Option<Role>,
    filtered: bool,
    names: Option<&'static str>,
    answers: &'static [&'static str],
    types: PhantomData<fn(P, Q, B) -> A>,
}

impl<P: Path, Q: Query, B: Body, A: Answer> Endpoint<P, Q, B, A> {
    /// An endpoint; viewers may call it if it is a `GET`, operators otherwise.
    pub const fn new(
        method: Method,
        path: &'static str,
        tag: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            tag,
            id,
            summary,
            description: "",
            role: None,
            filtered: false,
            names: None,
            answers: &[],
            types: PhantomData,
        }
    }

    /// More words about it.
    #[must_use]
    pub const fn describe(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Another least role.
    #[must_use]
    pub const fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// The path names no pool, and the handler keeps to what the caller may see and do. Without this only callers without a
    /// scope may call it.
    #[must_use]
    pub const fn filtered(mut self) -> Self {
        self.filtered = true;
        self
    }

    /// Makes an object whose name is this parameter of the path.
    #[must_use]
    pub const fn names(mut self, parameter: &'static str) -> Self {
        self.names = Some(parameter);
        self
    }

    /// What each of its answers says, in the order of the answer's type.
    #[must_use]
    pub const fn answers(mut self, descriptions: &'static [&'static str]) -> Self {
        self.answers = descriptions;
        self
    }

    /// What is declared, without the types.
    pub fn declaration(&self) -> Declaration {
        let reads = matches!(self.method, Method::GET | Method::HEAD);
        Declaration {
            method: self.method.clone(),
            path: self.path.to_owned(),
            id: self.id.to_owned(),
            summary: self.summary,
            description: self.description,
            tag: self.tag,
            role: self.role.unwrap_or(if reads { Role::Viewer } else { Role::Operator }),
            filtered: self.filtered,
            in_namespace: false,
            parameters: P::NAMES,
            query: Q::schema(),
            names: self.names,
            body: B::kind(),
            answers: A::statuses()
                .into_iter()
                .zip(self.answers)
                .map(|((status, body), description)| DeclaredAnswer { status, description, body })
                .collect(),
            described: self.answers.len() == A::statuses().len(),
        }
    }
}

/// One way a call can go well.
#[derive(Clone, Copy)]
pub struct DeclaredAnswer {
    /// Its status.
    pub status: http::StatusCode,
    /// When it is given.
    pub description: &'static str,
    /// Its body.
    pub body: AnswerBody,
}

/// What is declared of an endpoint.
#[derive(Clone)]
pub struct Declaration {
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
    /// The parameters of the path that its handler is given.
    pub parameters: &'static [&'static str],
    /// The query's parameters, as the schema of an object.
    pub query: Option<SchemaOf>,
    /// The parameter of the path that is the name of a new object.
    pub names: Option<&'static str>,
    /// The body it takes.
    pub body: BodyKind,
    /// How it can go well.
    pub answers: Vec<DeclaredAnswer>,
    /// Whether each of the answers has its description.
    pub described: bool,
}

impl Declaration {
    /// Whether it changes anything, and so is written to the audit log.
    pub fn changes(&self) -> bool {
        self.method != Method::GET && self.method != Method::HEAD
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

    /// The endpoint under both of the paths that `{scope}` stands for; itself without one.
    pub fn scoped(self) -> Vec<Self> {
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
