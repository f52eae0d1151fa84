//! Certificates of many hosts that nginx finds in a table: from a new one to the last connection with the old one, and what a
//! handshake costs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use bench_figures::figure::Figure;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, Patch, PatchParams};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::ports::free_address;
use tokio_rustls::TlsConnector;

use crate::by_hand::ByHand;
use crate::cpu::{CLIENTS, Served, compare};
use crate::entry::{Entry, flag};
use crate::objects;
use crate::plain::{server, upstream};
use crate::settled::{Limit, answers, figures, settle_by, take_turns};
use crate::stage::{Stage, create};
use crate::table::{BY_HAND_EVERY, LIMITS, NOBODY, REST};
use crate::tls::{Authority, Certificate, CertificateLook, Handshakes};

/// How much more a handshake may cost.
const LIMIT: f64 = 1.15;
/// Hosts with a certificate each, and when it has to be quick.
const FULL: u32 = 2000;
const QUICK: u32 = 200;
const NAMESPACE: &str = "certificates";
/// The host whose certificate changes.
const PROBE: &str = "probe.example.com";

/// Changes of a certificate in a manifest and in the API server, beside the same by hand, and handshakes.
///
/// # Errors
/// A part fails.
pub fn certificates(stage: &Stage) -> Result<Vec<Figure>> {
    stage.runtime.block_on(async {
        let authority = Authority::new()?;
        let certificates = (0..stage.either(FULL, QUICK)).map(|number| authority.issue(&host(number)));
        let certificates = certificates.collect::<Result<Vec<_>>>()?;
        let probe = Arc::new([authority.issue(PROBE)?, authority.issue(PROBE)?]);
        let directory = stage.directory()?;
        objects::write(directory.path(), "class", &objects::class())?;
        let [services, secrets, ingresses] = objects(&certificates, &probe[0]);
        // The Secret that changes has a file of its own. A file may not be too large.
        let items: Vec<_> = [services, secrets, ingresses].concat();
        let items: Vec<_> = items.into_iter().filter(|item| !is_probe(item)).collect();
        for (number, items) in items.chunks(500).enumerate() {
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
            objects::write(directory.path(), &format!("list-{number}"), &list)?;
        }
        objects::write(directory.path(), "probe", &probe_secret(&probe[0]))?;
        let connector = authority.connector()?;
        let entry = run(stage, vec![flag("from", directory.path())]).await?;
        let mut all = changes(stage, directory.path(), (&entry, &certificates, &probe), &connector).await?;
        all.push(handshakes(stage, &entry, &certificates, (&authority, &connector)).await?);
        Ok(all)
    })
}

fn host(number: u32) -> String {
    format!("host-{number}.example.com")
}

/// Of a Secret in a list.
fn is_probe(object: &Value) -> bool {
    object["kind"] == "Secret" && object["metadata"]["name"] == "probe"
}

fn probe_secret(certificate: &Certificate) -> Value {
    objects::tls_secret("probe", &certificate.pem, &certificate.key)
}

/// The Service of all hosts, a Secret for each host, and an Ingress for each.
fn objects(certificates: &[Certificate], probe: &Certificate) -> [Vec<Value>; 3] {
    let named = |number: usize| format!("host-{number}");
    let secrets = certificates.iter().enumerate();
    let secrets = secrets.map(|(number, of)| objects::tls_secret(&named(number), &of.pem, &of.key));
    let ingresses = (0..certificates.len()).map(named).chain(["probe".to_owned()]);
    [
        vec![objects::service("other", Some("127.65.0.1"), 80)],
        secrets.chain([probe_secret(probe)]).collect(),
        ingresses.map(|name| objects::ingress_with_tls(&name, "other", &name)).collect(),
    ]
}

/// An entry that serves TLS, and where.
struct TlsEntry {
    entry: Entry,
    https: SocketAddr,
}

async fn run(stage: &Stage, mut source: Vec<String>) -> Result<TlsEntry> {
    let https = free_address()?;
    source.push(format!("--https={https}"));
    let entry = stage.run(&source).await?;
    let certificates = entry.metric("sparrow_entry_certificates").await?;
    // And that which changes.
    let wanted = f64::from(stage.either(FULL, QUICK) + 1);
    ensure!((certificates - wanted).abs() < 0.5, "{certificates} certificates are served, not {wanted}");
    Ok(TlsEntry { entry, https })
}

impl TlsEntry {
    /// What its nginx does with TLS, but for certificates: protocols, ciphers and sessions.
    fn tls(&self) -> Result<String> {
        let live = self.entry.live()?;
        let lines = live.lines().filter(|line| line.trim().starts_with("ssl_") && !line.contains("certificate"));
        let lines: Vec<_> = lines.filter(|line| !line.contains("reject")).collect();
        ensure!(lines.len() > 2, "the entry's configuration says too little of TLS");
        Ok(lines.join("\n"))
    }
}

/// A server of TLS with the certificate in a file.
fn tls_server(https: SocketAddr, name: &str, file: &Path) -> String {
    let file = file.display();
    server(
        &format!("listen {https} ssl http2; server_name {name}; ssl_certificate {file}; ssl_certificate_key {file};"),
        [("/", "http://other")],
    )
}

fn write_pem(file: &Path, certificate: &Certificate) -> Result<()> {
    Ok(fs::write(file, format!("{}{}", certificate.pem, certificate.key))?)
}

/// An nginx that is driven by hand with a server and a file for each certificate.
struct FilesByHand {
    by_hand: ByHand,
    https: SocketAddr,
    /// Of the certificate that changes.
    file: PathBuf,
    // The certificates are in it.
    _files: TempDir,
}

impl FilesByHand {
    async fn new(stage: &Stage, tls: &str, certificates: &[Certificate], probe: &Certificate) -> Result<Self> {
        let (files, https) = (stage.directory()?, free_address()?);
        let file = files.path().join("probe.pem");
        write_pem(&file, probe)?;
        let mut servers = tls_server(https, PROBE, &file);
        for (number, certificate) in (0..).zip(certificates) {
            let host = host(number);
            let file = files.path().join(format!("{host}.pem"));
            write_pem(&file, certificate)?;
            servers.push_str(&tls_server(https, &host, &file));
        }
        let other = upstream("other", NOBODY);
        let http = |address| {
            let plain = server(&format!("listen {address} default_server; return 301 https://$host$request_uri;"), []);
            [tls, &other, &plain, &servers].concat()
        };
        let by_hand = ByHand::start(&stage.debian, http).await?;
        Ok(Self { by_hand, https, file, _files: files })
    }

    /// Replaces the file and has nginx read it.
    fn change(&self, certificate: &Certificate) -> Result<Instant> {
        let draft = self.file.with_extension("draft");
        write_pem(&draft, certificate)?;
        let began = Instant::now();
        fs::rename(draft, &self.file)?;
        self.by_hand.hup()?;
        Ok(began)
    }
}

/// Changes of a certificate, in turns.
async fn changes(
    stage: &Stage,
    directory: &Path,
    (entry, certificates, probe): (&TlsEntry, &[Certificate], &Arc<[Certificate; 2]>),
    connector: &TlsConnector,
) -> Result<Vec<Figure>> {
    let by_hand = FilesByHand::new(stage, &entry.tls()?, certificates, &probe[0]).await?;
    let client = stage.client(NAMESPACE).await?;
    let [services, secrets, ingresses] = objects(certificates, &probe[0]);
    create::<Service>(&client, NAMESPACE, services.into_iter().map(without_address)).await?;
    create::<Secret>(&client, NAMESPACE, secrets).await?;
    create::<Ingress>(&client, NAMESPACE, ingresses).await?;
    let server = run(stage, stage.server_flags(NAMESPACE)?).await?;
    let api = Api::<Secret>::namespaced(client, NAMESPACE);
    let name = ServerName::try_from(PROBE)?;
    let look = |address| CertificateLook {
        connector: connector.clone(),
        address,
        name: name.clone(),
        certificates: Arc::clone(probe),
    };
    // The first reload of all files is not measured.
    settle_by(look(by_hand.https), answers(0), async { by_hand.change(&probe[1]) }).await?;
    settle_by(look(by_hand.https), answers(1), async { by_hand.change(&probe[0]) }).await?;
    let reloads = [entry.entry.reloads().await?, server.entry.reloads().await?];
    let parts =
        [(look(entry.https), 1), (look(server.https), 1), (look(by_hand.https), stage.either(BY_HAND_EVERY, 2))];
    let turns = take_turns(stage, &parts, REST, async |part, to| match part {
        0 => {
            let (secret, began) = (probe_secret(&probe[to]), Instant::now());
            objects::write(directory, "probe", &secret)?;
            Ok(began)
        }
        1 => {
            let patch = Patch::Merge(json!({ "stringData": probe_secret(&probe[to])["stringData"] }));
            api.patch("probe", &PatchParams::default(), &patch).await?;
            Ok(Instant::now())
        }
        _ => by_hand.change(&probe[to]),
    });
    let [manifest, patched, reloaded] = &turns.await?[..] else { bail!("not all parts were measured") };
    ensure!(reloads == [entry.entry.reloads().await?, server.entry.reloads().await?], "nginx was reloaded");
    let limit = Limit::Faster(LIMITS);
    let mut all = figures(["certificate-p50-dir", "certificate-p99-dir"], (manifest, reloaded), limit, "by hand");
    all.extend(figures(["certificate-p50-api", "certificate-p99-api"], (patched, reloaded), limit, "by hand"));
    Ok(all)
}

/// The API server gives one.
fn without_address(mut service: Value) -> Value {
    service["spec"].as_object_mut().map(|spec| spec.remove("clusterIP"));
    service
}

/// The processor time of a handshake, beside that of the same nginx with one certificate for all.
async fn handshakes(
    stage: &Stage,
    entry: &TlsEntry,
    certificates: &[Certificate],
    (authority, connector): (&Authority, &TlsConnector),
) -> Result<Figure> {
    let (files, https) = (stage.directory()?, free_address()?);
    let every = authority.issue("*.example.com")?;
    let file = files.path().join("all.pem");
    write_pem(&file, &every)?;
    let servers = [entry.tls()?, upstream("other", NOBODY), tls_server(https, "*.example.com", &file)].concat();
    let plain = |address| servers + &server(&format!("listen {address}; return 404;"), []);
    let by_hand = ByHand::start(&stage.debian, plain).await?;
    let names = (0..stage.either(FULL, QUICK)).map(|number| Ok(ServerName::try_from(host(number))?));
    let names = names.collect::<Result<Vec<_>>>()?;
    let own = names.iter().cloned().zip(certificates.iter().map(|of| of.der.clone())).collect();
    let same = names.into_iter().map(|name| (name, every.der.clone())).collect();
    let clients = |address, hosts: Vec<_>| {
        let all = Handshakes { connector: connector.clone(), address, clients: CLIENTS, hosts: Arc::new(hosts) };
        Box::new(move || all.start())
    };
    let ours = Served { master: entry.entry.nginx_pid()?, clients: clients(entry.https, own) };
    let theirs = Served { master: by_hand.nginx_pid()?, clients: clients(https, same) };
    compare(stage, "cpu-handshake", (&ours, &theirs), (LIMIT, "one certificate")).await
}
