//! External authentication with a real oauth2-proxy, which lets users sign in at a provider of `OpenID` Connect, by the annotations that its
//! documentation has for ingress-nginx.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use testbed::echo::{Echo as _, backend};
use testbed::http::{self, Answer};

use common::{Bench, CLASS, eventually, free, programs};

const HOST: &str = "app.example";

/// How old oauth2-proxy lets a session become before it asks the provider anew.
const REFRESH: Duration = Duration::from_secs(2);

/// A program that ends with its test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that the kernel ends with the thread that started it.
fn command(program: &std::path::Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

fn start_proxy(program: &std::path::Path, address: SocketAddr, provider: SocketAddr) -> Running {
    let mut command = command(program);
    command.args([
        "--provider=oidc",
        &format!("--oidc-issuer-url=http://{provider}/oidc"),
        "--client-id=sparrow",
        "--client-secret=sparrow-secret",
        "--scope=openid email profile groups",
        "--email-domain=*",
        "--upstream=static://202",
        &format!("--http-address={address}"),
        "--cookie-secret=0123456789abcdef0123456789abcdef",
        "--cookie-secure=false",
        &format!("--cookie-refresh={}s", REFRESH.as_secs()),
        "--reverse-proxy=true",
        "--trusted-proxy-ip=127.0.0.1",
        "--set-xauthrequest=true",
        "--set-authorization-header=true",
        "--skip-provider-button=true",
        &format!("--redirect-url=http://{HOST}/oauth2/callback"),
    ]);
    Running::start(&mut command)
}

/// Two Ingresses of a host, as its documentation has them: that of the application, and that of the path at which users sign in.
fn objects(web: SocketAddr, proxy: SocketAddr) -> String {
    let service = |name: &str, address: SocketAddr| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec: {{ clusterIP: {}, ports: [{{ port: {} }}] }}\n",
            address.ip(),
            address.port()
        )
    };
    let ingress = |name: &str, path: &str, port: u16, annotations: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  annotations:\n    \
             nginx.ingress.kubernetes.io/proxy-buffer-size: 16k\n{annotations}spec:\n  ingressClassName: sparrow\n  rules:\n  - host: {HOST}\n    \
             http: {{ paths: [{{ path: {path}, pathType: Prefix, backend: {{ service: {{ name: {name}, port: {{ number: {port} }} }} }} }}] }}\n"
        )
    };
    let port = proxy.port();
    let asks = format!(
        "    nginx.ingress.kubernetes.io/auth-url: http://oauth2-proxy.default.svc.cluster.local:{port}/oauth2/auth\n    \
         nginx.ingress.kubernetes.io/auth-signin: http://$host/oauth2/start?rd=$escaped_request_uri\n    \
         nginx.ingress.kubernetes.io/auth-response-headers: X-Auth-Request-User,X-Auth-Request-Email,Authorization\n"
    );
    [
        CLASS.to_owned(),
        service("web", web),
        service("oauth2-proxy", proxy),
        ingress("web", "/", web.port(), &asks),
        ingress("oauth2-proxy", "/oauth2", port, ""),
    ]
    .join("---\n")
}

/// Somebody with a browser.
struct Client {
    at: SocketAddr,
    cookies: BTreeMap<String, String>,
}

impl Client {
    fn new(at: SocketAddr) -> Client {
        Client { at, cookies: BTreeMap::new() }
    }

    /// Asks with the cookies that are kept, and keeps those of the answer.
    fn get(&mut self, target: &str, headers: &str) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = if cookies.is_empty() { String::new() } else { format!("Cookie: {}\r\n", cookies.join("; ")) };
        let answer = http::get(self.at, HOST, target, &[headers, &cookies].concat()).unwrap();
        for cookie in set_cookies(&answer) {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    /// Signs in on the way to a target, and says where that leads.
    fn sign_in(&mut self, provider: SocketAddr, target: &str) -> String {
        let asked = self.get(target, "");
        assert_eq!(asked.status, 302, "{:?}", asked.headers);
        let start = target_of(&asked);
        assert!(start.starts_with("/oauth2/start?rd="), "{start}");
        let sent = self.get(&start, "").expect(302);
        assert!(
            sent.header("Location").starts_with(&format!("http://{provider}/oidc/authorize?")),
            "{:?}",
            sent.headers
        );
        let allowed = http::get(provider, &provider.to_string(), &target_of(&sent), "").unwrap().expect(302);
        assert!(
            allowed.header("Location").starts_with(&format!("http://{HOST}/oauth2/callback?")),
            "{:?}",
            allowed.headers
        );
        self.get(&target_of(&allowed), "").expect(302).header("Location").to_owned()
    }
}

fn set_cookies(answer: &Answer) -> Vec<&str> {
    answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| &**value).collect()
}

/// The path and the query of the address to which an answer leads.
fn target_of(answer: &Answer) -> String {
    let url = answer.header("Location");
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest[rest.find('/').unwrap()..].to_owned()
}

#[test]
fn users_sign_in_stay_signed_in_and_sign_out() {
    let [proxy_program, provider_program] = testbed::kube::oauth2_programs().unwrap();
    for program in programs() {
        let (web, proxy, provider) = (backend("web"), free(), free());
        let _provider = Running::start(command(&provider_program).arg(provider.to_string()));
        eventually("a provider", || {
            http::get(provider, "provider", "/oidc/.well-known/openid-configuration", "")
                .is_ok_and(|answer| answer.status == 200)
        });
        let running = start_proxy(&proxy_program, proxy, provider);
        eventually("oauth2-proxy", || http::get(proxy, "proxy", "/ping", "").is_ok_and(|answer| answer.status == 200));
        let bench = Bench::new(&program);
        bench.write("all.yaml", &objects(web, proxy));
        let entry = bench.start(&["run"]);
        eventually("served", || bench.asks(HOST, "/").0 == 302);

        // Nobody comes in who did not sign in, whatever they say of themselves.
        let mut nobody = Client::new(bench.http);
        let forged =
            "X-Auth-Request-User: root\r\nX-Auth-Request-Email: root@example.com\r\nAuthorization: Bearer forged\r\n";
        for (target, headers) in
            [("/", forged), ("/", "Cookie: _oauth2_proxy=forged\r\n"), ("/socket", "Upgrade: websocket\r\n")]
        {
            assert_eq!(nobody.get(target, headers).status, 302, "{target} {headers}");
        }

        let mut user = Client::new(bench.http);
        assert_eq!(user.sign_in(provider, "/a%20b?x=1&y=2"), "/a%20b?x=1&y=2", "{program:?}");
        // Tokens are so long that a session takes two cookies.
        let session = |user: &Client| {
            user.cookies.keys().filter(|name| name.starts_with("_oauth2_proxy_") && !name.ends_with("csrf")).count()
        };
        assert_eq!(session(&user), 2, "{:?}", user.cookies.keys());
        let answer = user.get("/a%20b?x=1&y=2", forged).expect(200);
        assert_eq!((answer.header("Backend"), answer.target()), ("web", "/a%20b?x=1&y=2"));
        assert_eq!(
            (answer.seen("X-Auth-Request-User"), answer.seen("X-Auth-Request-Email")),
            (Some("ann"), Some("ann@example.com"))
        );
        assert!(answer.seen("Authorization").is_some_and(|token| token.starts_with("Bearer ey")));

        // A session is refreshed in passing: both of its cookies reach the client, beside what the backend answers.
        sleep(REFRESH + Duration::from_secs(1));
        let before = user.cookies.clone();
        let refreshed = user.get("/refreshed", "").expect(200);
        assert_eq!(refreshed.header("Backend"), "web");
        assert_eq!(set_cookies(&refreshed).len(), 2, "{:?}", refreshed.headers);
        assert_ne!(user.cookies, before);
        assert_eq!(user.get("/", "").status, 200);

        let left = user.get("/oauth2/sign_out?rd=%2Fbye", "").expect(302);
        assert_eq!(left.header("Location"), "/bye");
        assert_eq!(session(&user), 0, "{:?}", user.cookies.keys());
        assert_eq!(user.get("/", "").status, 302);

        // Without it nobody comes in.
        user.sign_in(provider, "/");
        assert_eq!(user.get("/", "").status, 200);
        drop(running);
        assert_eq!(user.get("/", "").status, 500);
        entry.terminate();
    }
}
