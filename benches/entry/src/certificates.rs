//! Certificates of many hosts that nginx finds in a table: from a new one to the last connection with the old one, and what a
//! handshake costs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use bench_figures::figure::Figure;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, Patch, PatchParams};
use nginx_conf::Modules;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use testbed::ports::free_address;
use tokio_rustls::TlsConnector;

use crate::by_hand::{ByHand, moved};
use crate::cpu::{CLIENTS, Served, Treatment, compare, plain};
use crate::entry::{Entry, flag};
use crate::objects;
use crate::settled::{Limit, answers, figures, settle_by, take_turns};
use crate::stage::{Stage, create};
use crate::table::{BY_HAND_EVERY, LIMITS, REST};
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
        let entry = run(stage, vec![flag("from", directory.path())], true).await?;
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

async fn run(stage: &Stage, mut source: Vec<String>, with_module: bool) -> Result<TlsEntry> {
    let https = free_address()?;
    source.push(format!("--https={https}"));
    let entry = stage.run_many(&source, with_module).await?;
    let certificates = entry.metric("sparrow_entry_certificates").await?;
    // And that which changes.
    let wanted = f64::from(stage.either(FULL, QUICK) + 1);
    ensure!((certificates - wanted).abs() < 0.5, "{certificates} certificates are served, not {wanted}");
    Ok(TlsEntry { entry, https })
}

/// An nginx that is driven by hand with what an entry without the module makes of manifests, and where it serves TLS. The certificate
/// that changes is in a file of its own.
struct FilesByHand {
    by_hand: ByHand,
    https: SocketAddr,
    file: std::path::PathBuf,
    // The certificates are in it.
    _files: tempfile::TempDir,
}

impl FilesByHand {
    async fn new(stage: &Stage, directory: &Path, probe: &Certificate) -> Result<Self> {
        let TlsEntry { entry, https } = run(stage, vec![flag("from", directory)], false).await?;
        let (live, files, own) = (entry.live()?, stage.directory()?, free_address()?);
        let mut file = None;
        for certificate in fs::read_dir(entry.live_directory().join("certs"))? {
            let path = certificate?.path();
            let copy = files.path().join(path.file_name().context("a file has a name")?);
            fs::copy(&path, &copy)?;
            if fs::read_to_string(&path)?.replace('\r', "").contains(probe.pem.replace('\r', "").trim()) {
                file = Some(copy);
            }
        }
        let text = |address: SocketAddr, runtime: &Path| {
            moved(&live, &entry, address, runtime)
                .replace(&https.to_string(), &own.to_string())
                .replace("\"certs/", &format!("\"{}/", files.path().display()))
        };
        let by_hand = ByHand::start(&stage.debian, text).await?;
        let file = file.context("the entry has not written the certificate that changes")?;
        Ok(Self { by_hand, https: own, file, _files: files })
    }

    /// Replaces the file and has nginx read it.
    fn change(&self, certificate: &Certificate) -> Result<Instant> {
        let draft = self.file.with_extension("draft");
        fs::write(&draft, format!("{}{}", certificate.pem, certificate.key))?;
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
    let by_hand = FilesByHand::new(stage, directory, &probe[0]).await?;
    let client = stage.client(NAMESPACE).await?;
    let [services, secrets, ingresses] = objects(certificates, &probe[0]);
    create::<Service>(&client, NAMESPACE, services.into_iter().map(without_address)).await?;
    create::<Secret>(&client, NAMESPACE, secrets).await?;
    create::<Ingress>(&client, NAMESPACE, ingresses).await?;
    let server = run(stage, stage.server_flags(NAMESPACE)?, true).await?;
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
    fs::write(&file, format!("{}{}", every.pem, every.key))?;
    // The same protocols, ciphers and sessions.
    let live = entry.entry.live()?;
    let tls = live.lines().filter(|line| line.trim().starts_with("ssl_") && !line.contains("certificate"));
    let tls: Vec<_> = tls.filter(|line| !line.contains("reject")).collect();
    ensure!(tls.len() > 2, "the entry's configuration says too little of TLS");
    let server = format!(
        "listen {https} ssl http2; ssl_certificate {}; ssl_certificate_key {};",
        file.display(),
        file.display()
    );
    let said = Command::new(&stage.debian).arg("-V").output().context("run nginx -V")?;
    let modules = Modules::parse(&String::from_utf8_lossy(&said.stderr));
    let treatment = Treatment { http: &tls.join("\n"), server: &server, ..Treatment::default() };
    let nobody = SocketAddr::from(([127, 65, 0, 1], 80));
    let text = |address: SocketAddr, runtime: &Path| plain(address, runtime, nobody, modules, &treatment);
    let by_hand = ByHand::start(&stage.debian, text).await?;
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
