//! gRPC: a service with a method of each kind, and a client of it. A message is a text, so that no schema is needed.

use std::future::{Ready, ready};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::Path;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::any;
use bytes::{Buf, BufMut};
use futures_util::{Stream, StreamExt, stream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::client;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::metadata::MetadataValue;
use tonic::server::{self, ServerStreamingService, StreamingService, UnaryService};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate as Trusted, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Status};

use crate::common::tls::Certificate;
use crate::common::{Bench, PATIENCE};

/// A message that is a text.
#[derive(Clone, Copy)]
pub struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Text;
    type Decoder = Text;

    fn encoder(&mut self) -> Text {
        *self
    }

    fn decoder(&mut self) -> Text {
        *self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining()).to_vec();
        String::from_utf8(bytes).map(Some).map_err(|_| Status::data_loss("no text"))
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

/// The method `One`: says what it was told, and the header `word` of the request; `fail` it is an error.
struct One;

/// The trailers and the message of an error of `One`; the message has what headers cannot hold as it is.
pub const FAILURE: (Code, &str, &[u8], &str) =
    (Code::FailedPrecondition, "100 % müde,\nnot today", b"\x00details\xff", "tired");

impl UnaryService<String> for One {
    type Response = String;
    type Future = Ready<Result<tonic::Response<String>, Status>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let word = request.metadata().get("word").cloned();
        if request.get_ref() == "fail" {
            let (code, message, details, reason) = FAILURE;
            let mut status = Status::with_details(code, message, details.into());
            status.metadata_mut().insert("reason", MetadataValue::from_static(reason));
            return ready(Err(status));
        }
        let mut answer = tonic::Response::new(request.into_inner());
        if let Some(word) = word {
            answer.metadata_mut().insert("word", word);
        }
        ready(Ok(answer))
    }
}

/// The method `Some`: numbers from 1 on, each when the test lets it go; after as many as it was told, an error.
struct Several(Arc<Semaphore>);

impl ServerStreamingService<String> for Several {
    type Response = String;
    type ResponseStream = Messages;
    type Future = Ready<Result<tonic::Response<Messages>, Status>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let last: u32 = request.get_ref().parse().unwrap();
        let numbers = stream::unfold((1, self.0.clone()), move |(number, gate)| async move {
            gate.acquire().await.unwrap().forget();
            let message = if number > last { Err(Status::aborted("no more")) } else { Ok(number.to_string()) };
            (number <= last + 1).then_some((message, (number + 1, gate)))
        });
        ready(Ok(tonic::Response::new(numbers.boxed())))
    }
}

/// The method `Each`: says each message that it is told, at once.
struct Each;

impl StreamingService<String> for Each {
    type Response = String;
    type ResponseStream = Messages;
    type Future = Ready<Result<tonic::Response<Messages>, Status>>;

    fn call(&mut self, request: Request<Streaming<String>>) -> Self::Future {
        ready(Ok(tonic::Response::new(request.into_inner().boxed())))
    }
}

/// A server of the service `test.Words`, until it is dropped.
pub struct Words {
    pub port: u16,
    /// Lets messages of `Several` go.
    pub gate: Arc<Semaphore>,
    _runtime: Runtime,
}

impl Words {
    /// In the clear, or with a certificate over TLS.
    pub fn start(certificate: Option<&Certificate>) -> Words {
        let gate = Arc::new(Semaphore::new(0));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let given = gate.clone();
        let answer = move |Path(method): Path<String>, request: axum::extract::Request| {
            let gate = given.clone();
            async move {
                let mut grpc = server::Grpc::new(Text);
                // Servers take a request without it for one of a client that cannot read trailers.
                if request.headers().get("te").is_none_or(|te| te != "trailers") {
                    return Status::invalid_argument("no `TE: trailers`")
                        .into_http::<Body>()
                        .map(axum::body::Body::new);
                }
                match method.as_str() {
                    "One" => grpc.unary(One, request).await,
                    "Several" => grpc.server_streaming(Several(gate), request).await,
                    "Never" => std::future::pending().await,
                    "Each" => grpc.streaming(Each, request).await,
                    _ => Status::unimplemented("no such method").into_http::<Body>(),
                }
                .map(axum::body::Body::new) as Response
            }
        };
        let routes: Routes = axum::Router::new().route("/test.Words/{method}", any(answer)).into();
        let incoming = {
            let _inside = runtime.enter();
            TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
        };
        let port = incoming.local_addr().unwrap().port();
        let mut server = Server::builder();
        if let Some(Certificate { pem, key }) = certificate {
            server = server.tls_config(ServerTlsConfig::new().identity(Identity::from_pem(pem, key))).unwrap();
        }
        runtime.spawn(server.add_routes(routes).serve_with_incoming(incoming));
        Words { port, gate, _runtime: runtime }
    }
}

/// A client of the entry over TLS: of a host, below a path.
pub async fn client(bench: &Bench, host: &str, path: &str, trusted: &Certificate) -> Client {
    let tls = ClientTlsConfig::new().ca_certificate(Trusted::from_pem(&trusted.pem)).domain_name(host);
    let origin: Uri = format!("https://{host}{path}").parse().unwrap();
    let address = format!("https://{}", bench.https);
    let endpoint = Endpoint::from_shared(address).unwrap().tls_config(tls).unwrap().origin(origin.clone());
    Client(client::Grpc::with_origin(endpoint.timeout(PATIENCE).connect().await.unwrap(), origin))
}

/// A client of the service. It has one connection.
#[derive(Clone)]
pub struct Client(pub client::Grpc<Channel>);

impl Client {
    /// Calls `One`, or another method of one message and one answer.
    pub async fn one(
        &mut self,
        method: &'static str,
        message: Request<String>,
    ) -> Result<tonic::Response<String>, Status> {
        self.0.ready().await.map_err(|error| Status::unknown(format!("not ready: {error}")))?;
        self.0.unary(message, method.parse().unwrap(), Text).await
    }

    /// Calls `Several`.
    pub async fn several(&mut self, number: u32) -> Streaming<String> {
        self.0.ready().await.unwrap();
        let request = Request::new(number.to_string());
        self.0.server_streaming(request, "/test.Words/Several".parse().unwrap(), Text).await.unwrap().into_inner()
    }

    /// Calls `Each`.
    pub async fn each(
        &mut self,
        messages: impl Stream<Item = String> + Send + 'static,
    ) -> Result<Streaming<String>, Status> {
        self.0.ready().await.unwrap();
        let path = "/test.Words/Each".parse().unwrap();
        Ok(self.0.streaming(Request::new(messages), path, Text).await?.into_inner())
    }
}
