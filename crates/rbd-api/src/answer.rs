//! What endpoints answer when all goes well: types that say status, schema and headers, for the description and the client.

use std::marker::PhantomData;

use axum_core::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use rbd_model::fault::{Fault, Kind};
use rbd_model::operation::Operation;
use schemars::JsonSchema;
use serde::Serialize;

use crate::input::SchemaOf;
use crate::media::{self, MediaType};

/// What an answer's body is.
#[derive(Clone, Copy)]
pub enum AnswerBody {
    /// Empty.
    Nothing,
    /// JSON of this schema.
    Json(SchemaOf),
    /// Text or bytes of this media type.
    Media(&'static str),
}

/// What an endpoint answers when all goes well.
pub trait Answer: Send + 'static {
    /// The statuses that it may have, with their bodies.
    fn statuses() -> Vec<(StatusCode, AnswerBody)>;

    /// The response.
    ///
    /// # Errors
    /// `internal` when it cannot be written.
    fn into_response(self) -> Result<Response<Body>, Fault>;
}

/// JSON with a status.
///
/// # Errors
/// `internal` when it cannot be written.
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Response<Body>, Fault> {
    let body = serde_json::to_vec(value)
        .map_err(|error| Fault::new(Kind::Internal, format!("The answer cannot be written: {error}.")))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media::JSON));
    Ok(response)
}

fn located(mut response: Response<Body>, location: Option<&str>) -> Response<Body> {
    if let Some(value) = location.and_then(|location| HeaderValue::from_str(location).ok()) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

fn schema_of<T: JsonSchema>() -> SchemaOf {
    |generator| generator.subschema_for::<T>()
}

/// 200 with JSON.
#[derive(Debug)]
pub struct Content<T> {
    value: T,
    location: Option<String>,
}

impl<T> Content<T> {
    /// The value.
    pub fn of(value: T) -> Self {
        Self { value, location: None }
    }

    /// The value, and where it is now.
    pub fn moved_to(location: String, value: T) -> Self {
        Self { value, location: Some(location) }
    }
}

impl<T: Serialize + JsonSchema + Send + 'static> Answer for Content<T> {
    fn statuses() -> Vec<(StatusCode, AnswerBody)> {
        vec![(StatusCode::OK, AnswerBody::Json(schema_of::<T>()))]
    }

    fn into_response(self) -> Result<Response<Body>, Fault> {
        Ok(located(json(StatusCode::OK, &self.value)?, self.location.as_deref()))
    }
}

/// 201 with JSON, and where it is.
#[derive(Debug)]
pub struct Created<T> {
    /// Where it is.
    pub location: String,
    /// What was made.
    pub value: T,
}

impl<T: Serialize + JsonSchema + Send + 'static> Answer for Created<T> {
    fn statuses() -> Vec<(StatusCode, AnswerBody)> {
        vec![(StatusCode::CREATED, AnswerBody::Json(schema_of::<T>()))]
    }

    fn into_response(self) -> Result<Response<Body>, Fault> {
        Ok(located(json(StatusCode::CREATED, &self.value)?, Some(&self.location)))
    }
}

/// 202 with an operation, and where it is followed, if that is news.
#[derive(Debug)]
pub struct Accepted {
    /// Where it is.
    pub location: Option<String>,
    /// The operation.
    pub operation: Operation,
}

impl Answer for Accepted {
    fn statuses() -> Vec<(StatusCode, AnswerBody)> {
        vec![(StatusCode::ACCEPTED, AnswerBody::Json(schema_of::<Operation>()))]
    }

    fn into_response(self) -> Result<Response<Body>, Fault> {
        Ok(located(json(StatusCode::ACCEPTED, &self.operation)?, self.location.as_deref()))
    }
}

/// 204.
#[derive(Debug, Clone, Copy)]
pub struct NoContent;

impl Answer for NoContent {
    fn statuses() -> Vec<(StatusCode, AnswerBody)> {
        vec![(StatusCode::NO_CONTENT, AnswerBody::Nothing)]
    }

    fn into_response(self) -> Result<Response<Body>, Fault> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

/// One of two answers.
#[derive(Debug)]
pub enum Either<A, B> {
    /// This one.
    First(A),
    /// That one.
    Second(B),
}

impl<A: Answer, B: Answer> Answer for Either<A, B> {
    fn statuses() -> Vec<(StatusCode, AnswerBody)> {
        [A::statuses(), B::statuses()].concat()
    }

    fn into_response(self) -> Result<Response<Body>, Fault> {
        match self {
            Self::First(answer) => answer.into_response(),
            Self::Second(answer) => answer.into_response(),
        }
    }
}

/// What a PUT answers: its object was made, or it was found.
pub type CreatedOrFound<T> = Either<Created<T>, Content<T>>;

/// The same, with the answer for an object that was found first.
pub type FoundOrCreated<T> = Either<Content<T>, Created<T>>;

/// 200 with JSON of a type's form that is written while it is sent.
#[derive(Debug)]
pub struct StreamedJson<T> {
    headers: HeaderMap,
    body: Body,
    form: PhantomData<fn() -> T>,
}

impl<T> StreamedJson<T> {
    /// The JSON, with further headers.
    pub fn of(body: Body, headers: HeaderMap) -> Self {
        Self { headers, body, form: PhantomData }
    }
}

impl<T: JsonSchema + 'static> Answer for StreamedJson<T> {
    fn statuses() -> Vec<(StatusCode, AnswerBody)> {
        vec![(StatusCode::OK, AnswerBody::Json(schema_of::<T>()))]
    }

    fn into_response(self) -> Result<Response<Body>, Fault> {
        Ok(whole(StatusCode::OK, media::JSON, self.headers, self.body))
    }
}

/// 200 with text or bytes of a media type.
#[derive(Debug)]
pub struct Media<M> {
    headers: HeaderMap,
    body: Body,
    form: PhantomData<fn() -> M>,
}

impl<M> Media<M> {
    /// The body, with further headers.
    pub fn of(body: Body, headers: HeaderMap) -> Self {
        Self { headers, body, form: PhantomData }
    }
}

impl<M: MediaType> Answer for Media<M> {
    fn statuses() -> Vec<(StatusCode, AnswerBody)> {
        vec![(StatusCode::OK, AnswerBody::Media(M::NAME))]
    }

    fn into_response(self) -> Result<Response<Body>, Fault> {
        Ok(whole(StatusCode::OK, M::HEADER, self.headers, self.body))
    }
}

/// All of something, a part of it, or that the client has it.
#[derive(Debug)]
pub struct RangeContent<M> {
    status: StatusCode,
    media: Media<M>,
}

impl<M> RangeContent<M> {
    /// 200 with all of it.
    pub fn whole(headers: HeaderMap, body: Body) -> Self {
        Self { status: StatusCode::OK, media: Media::of(body, headers) }
    }

    /// 206 with a part, which `Content-Range` names.
    pub fn part(headers: HeaderMap, body: Body) -> Self {
        Self { status: StatusCode::PARTIAL_CONTENT, media: Media::of(body, headers) }
    }

    /// 304.
    pub fn not_modified(headers: HeaderMap) -> Self {
        Self { status: StatusCode::NOT_MODIFIED, media: Media::of(Body::empty(), headers) }
    }
}

impl<M: MediaType> Answer for RangeContent<M> {
    fn statuses() -> Vec<(StatusCode, AnswerBody)> {
        vec![
            (StatusCode::OK, AnswerBody::Media(M::NAME)),
            (StatusCode::PARTIAL_CONTENT, AnswerBody::Media(M::NAME)),
            (StatusCode::NOT_MODIFIED, AnswerBody::Nothing),
        ]
    }

    fn into_response(self) -> Result<Response<Body>, Fault> {
        Ok(whole(self.status, M::HEADER, self.media.headers, self.media.body))
    }
}

/// 200 with headers alone, those of a body of the media type.
#[derive(Debug)]
pub struct HeadersOnly<M>(HeaderMap, PhantomData<fn() -> M>);

impl<M> HeadersOnly<M> {
    /// The headers.
    pub fn of(headers: HeaderMap) -> Self {
        Self(headers, PhantomData)
    }
}

impl<M: MediaType> Answer for HeadersOnly<M> {
    fn statuses() -> Vec<(StatusCode, AnswerBody)> {
        vec![(StatusCode::OK, AnswerBody::Nothing)]
    }

    fn into_response(self) -> Result<Response<Body>, Fault> {
        Ok(whole(StatusCode::OK, M::HEADER, self.0, Body::empty()))
    }
}

fn whole(status: StatusCode, media_type: &'static str, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
