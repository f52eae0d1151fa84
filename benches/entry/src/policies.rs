//! What a request costs nginx where an annotation asks for something, beside nginx's own directives for the same.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::Figure;
use serde_json::{Value, json};

use crate::backend::Backend;
use crate::by_hand::ByHand;
use crate::cpu::{Served, compare};
use crate::http::Connection;
use crate::objects;
use crate::plain::{Treatment, steady};
use crate::stage::Stage;

/// How much more a request may cost.
const LIMIT: f64 = 1.15;
/// How much more one with a password may cost than one without, after the first of its user.
const LIMIT_OF_PASSWORDS: f64 = 1.3;
/// The body of an answer, in bytes.
const BODY: usize = 1024;

/// Annotations, what a person writes for the same, and the headers that a request has.
struct Compared {
    figure: &'static str,
    /// Of ingress-nginx, without prefix.
    annotations: &'static [(&'static str, &'static str)],
    /// The path of the Ingress.
    path: &'static str,
    treatment: Treatment<'static>,
    /// What of the entry's configuration shows that the annotations are followed, where the table does not say it.
    directive: &'static str,
    headers: &'static str,
}

/// A rate that nobody reaches, so that every request is served.
const RATE: &str = "1000000";

const COMPARED: [Compared; 4] = [
    Compared {
        figure: "cpu-cors",
        annotations: &[("enable-cors", "true"), ("cors-allow-origin", "https://shop.example, https://other.example")],
        path: "/steady",
        treatment: Treatment {
            http: "map $http_origin $allowed {
                default '';
                https://shop.example $http_origin;
                https://other.example $http_origin;
            }
            map $allowed $credentials { default true; '' ''; }",
            server: "",
            path: "/steady/",
            location: "if ($request_method = OPTIONS) { return 204; }
                add_header Access-Control-Allow-Origin $allowed always;
                add_header Access-Control-Allow-Credentials $credentials always;
                add_header Vary Origin always;
                proxy_pass http://steady;",
        },
        directive: "add_header Access-Control-Allow-Origin",
        headers: "Origin: https://shop.example\r\n",
    },
    Compared {
        figure: "cpu-limit",
        annotations: &[("limit-rps", RATE)],
        path: "/steady",
        treatment: Treatment {
            http: "limit_req_zone $binary_remote_addr zone=clients:5m rate=1000000r/s;",
            server: "",
            path: "/steady/",
            location: "limit_req zone=clients burst=5000000 nodelay;
                proxy_pass http://steady;",
        },
        directive: "limit_req \"",
        headers: "",
    },
    Compared {
        figure: "cpu-rewrite",
        annotations: &[("use-regex", "true"), ("rewrite-target", "/$2/$1")],
        path: "/steady/([a-z]+)/([a-z]+)",
        treatment: Treatment {
            http: "",
            server: "",
            path: "~* \"^/steady/([a-z]+)/([a-z]+)\"",
            location: "rewrite \"(?i)/steady/([a-z]+)/([a-z]+)\" /$2/$1 break;
                proxy_pass http://steady;",
        },
        // Where the path were no pattern, the request would be answered with 404.
        directive: "",
        headers: "",
    },
    Compared {
        figure: "cpu-auth",
        annotations: &[("auth-url", "http://auth.default.svc.cluster.local/verify")],
        path: "/steady",
        treatment: Treatment {
            http: "upstream auth {
                server AUTH;
                keepalive 32;
                keepalive_timeout 4s;
                keepalive_requests 10000;
            }",
            server: "location = /verify {
                internal;
                proxy_pass http://auth/verify;
                proxy_http_version 1.1;
                proxy_pass_request_body off;
                proxy_set_header Connection '';
                proxy_set_header Content-Length '';
                proxy_set_header Host auth.default.svc.cluster.local;
                proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
                proxy_set_header X-Original-Method $request_method;
            }",
            path: "/steady/",
            location: "auth_request /verify;
                proxy_pass http://steady;",
        },
        directive: "auth_request \"",
        headers: "",
    },
];

/// The processor time that nginx's workers spend on a request with an annotation, beside the same nginx with its own directives.
///
/// # Errors
/// A part fails, or an answer is wrong.
pub fn policies(stage: &Stage) -> Result<Vec<Figure>> {
    stage.runtime.block_on(async {
        let mut figures = Vec::new();
        for compared in &COMPARED {
            figures.push(measure(stage, compared).await.with_context(|| compared.figure)?);
        }
        figures.push(measure_passwords(stage).await.context("cpu-password")?);
        Ok(figures)
    })
}

/// An Ingress of a path, with annotations of ingress-nginx.
fn ingress(path: &str, annotations: &[(&str, &str)]) -> Value {
    let mut ingress = objects::ingress("bench", "steady");
    let named = |(name, value): &(&str, &str)| (format!("nginx.ingress.kubernetes.io/{name}"), (*value).into());
    ingress["metadata"]["annotations"] = Value::Object(annotations.iter().map(named).collect());
    let rule = &mut ingress["spec"]["rules"][0];
    rule["host"] = "bench".into();
    rule["http"]["paths"][0]["path"] = path.into();
    rule["http"]["paths"][0]["pathType"] = "ImplementationSpecific".into();
    ingress
}

/// A Service at an address, which is asked for by name.
fn service(name: &str, backend: SocketAddr) -> Value {
    let mut service = objects::service(name, Some(&backend.ip().to_string()), 80);
    service["spec"]["ports"] = json!([{ "port": 80 }, { "name": "http", "port": backend.port() }]);
    service
}

fn request(headers: &str) -> Vec<u8> {
    format!("GET /steady/some/thing?of=interest HTTP/1.1\r\nHost: bench\r\n{headers}\r\n").into_bytes()
}

async fn measure(stage: &Stage, compared: &Compared) -> Result<Figure> {
    let body = "x".repeat(BODY);
    let (backend, auth) = (Backend::start("127.0.0.1", &body).await?, Backend::start("127.0.0.1", "").await?);
    let directory = stage.directory()?;
    objects::write(directory.path(), "class", &objects::class())?;
    let mut ingress = ingress(compared.path, compared.annotations);
    ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = json!({ "name": "http" });
    for (name, backend) in [("steady", &backend), ("auth", &auth)] {
        objects::write(directory.path(), name, &service(name, backend.address))?;
    }
    if let Some(url) = ingress["metadata"]["annotations"].get_mut("nginx.ingress.kubernetes.io/auth-url") {
        *url = format!("http://auth.default.svc.cluster.local:{}/verify", auth.address.port()).into();
    }
    objects::write(directory.path(), "ingress", &ingress)?;
    let entry = stage.run_from(directory.path()).await?;
    ensure!(entry.live()?.contains(compared.directive), "the configuration has no {}", compared.directive);
    let http = compared.treatment.http.replace("AUTH", &auth.address.to_string());
    let treatment = Treatment { http: &http, ..compared.treatment };
    let by_hand = ByHand::start(&stage.debian, |address| steady(address, backend.address, &treatment)).await?;
    let sent = request(compared.headers);
    let ours = Served::asked(entry.http, entry.nginx_pid()?, vec![sent.clone()]);
    let theirs = Served::asked(by_hand.http, by_hand.nginx_pid()?, vec![sent]);
    compare(stage, compared.figure, (&ours, &theirs), (LIMIT, "by hand")).await
}

/// A request with a password that is hashed with bcrypt, beside one without, through the same entry.
async fn measure_passwords(stage: &Stage) -> Result<Figure> {
    let backend = Backend::start("127.0.0.1", &"x".repeat(BODY)).await?;
    let directory = stage.directory()?;
    objects::write(directory.path(), "class", &objects::class())?;
    objects::write(directory.path(), "steady", &service("steady", backend.address))?;
    let users: String = (0..100).map(|number| format!("user{number}:{BCRYPT}\n")).collect();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": "users" }, "stringData": { "auth": users },
    });
    objects::write(directory.path(), "users", &secret)?;
    for (name, annotations) in [("open", &[][..]), ("closed", &[("auth-type", "basic"), ("auth-secret", "users")][..])]
    {
        let mut ingress = ingress("/steady", annotations);
        ingress["metadata"]["name"] = name.into();
        ingress["spec"]["rules"][0]["host"] = name.into();
        ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = json!({ "name": "http" });
        objects::write(directory.path(), name, &ingress)?;
    }
    let entry = stage.run_from(directory.path()).await?;
    let request = |host: &str, headers: &str| {
        format!("GET /steady/some/thing HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").into_bytes()
    };
    let master = entry.nginx_pid()?;
    let (closed, open) = (request("closed", &format!("Authorization: Basic {USER_99}\r\n")), request("open", ""));
    for (request, status) in [(&request("closed", ""), 401), (&closed, 200), (&open, 200)] {
        let answered = Connection::open(entry.http).await?.exchange(request).await?.status;
        ensure!(answered == status, "{} is answered {answered}", String::from_utf8_lossy(request));
    }
    let [closed, open] = [closed, open].map(|request| Served::asked(entry.http, master, vec![request]));
    compare(stage, "cpu-password", (&closed, &open), (LIMIT_OF_PASSWORDS, "without")).await
}

/// Of `secret`, at the cost 10.
const BCRYPT: &str = "$2b$10$LZuC6gpdfVrQY.EzhYcn9eygl8qJ9JOfCcOeHriq0pPeJzcMPdoB6";
/// `user99:secret`.
const USER_99: &str = "dXNlcjk5OnNlY3JldA==";
