//! `sparrow-rbd check`, and the same check in `serve`, against a real Ceph: for everything that can be wrong the file, the
//! entity and what to do, in exact words.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::ceph::{Ceph, CephOptions, Daemon};
use testbed::daemon::Daemons as _;
use testbed::service::{RbdService, RbdServiceOptions};

const BINARY: &str = env!("CARGO_BIN_EXE_sparrow-rbd");
const FULL: [(&str, &str); 3] = [("mon", "profile rbd"), ("osd", "profile rbd"), ("mgr", "profile rbd")];

fn ceph() -> &'static Ceph {
    Ceph::shared().expect("a cluster")
}

/// A directory that every user may enter.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
    directory
}

struct Checked {
    code: i32,
    text: String,
}

impl Checked {
    /// The line of a finding, such as `error    keyring: …`, and the line of what to do.
    #[track_caller]
    fn expect(&self, finding: &str, correction: &str) {
        let mut lines = self.text.lines();
        let found = lines.find(|line| *line == finding);
        assert!(found.is_some(), "no line {finding:?} in:\n{}", self.text);
        if !correction.is_empty() {
            let next = lines.next().unwrap_or_default();
            let next = next.strip_prefix("         -> ").unwrap_or_default();
            assert!(next.starts_with(correction), "not {correction:?} in:\n{}", self.text);
        }
    }

    #[track_caller]
    fn has(&self, part: &str) {
        assert!(self.text.contains(part), "no {part:?} in:\n{}", self.text);
    }
}

fn run(mut command: Command) -> Checked {
    let output = command.output().expect("a run");
    let text = String::from_utf8(output.stdout).expect("text");
    // A code at all: no end by a signal.
    let code = output.status.code().unwrap_or_else(|| panic!("{}: {text}", output.status));
    Checked { code, text }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("check").args(arguments).env_remove("CEPH_CONF").env_remove("CEPH_ARGS");
    command
}

fn check(conf: &Path, keyring: &Path, more: &[&str]) -> Checked {
    let mut command = command(more);
    command.arg("--ceph-conf").arg(conf).arg("--keyring").arg(keyring);
    run(command)
}

/// The cluster's configuration with another `mon_host`.
fn conf_with_mon_host(directory: &Path, mon_host: &str) -> PathBuf {
    let text = fs::read_to_string(ceph().conf()).expect("a configuration");
    let own = format!("mon_host = {}", ceph().mon_addr());
    assert!(text.contains(&own));
    let path = directory.join("ceph.conf");
    fs::write(&path, text.replace(&own, &format!("mon_host = {mon_host}"))).expect("a file");
    path
}

fn client(ceph: &Ceph, name: &str, caps: &[(&str, &str)]) -> (String, PathBuf) {
    let name = format!("{name}-{}", std::process::id());
    let keyring = ceph.add_client(&name, caps).expect("an entity");
    (format!("client.{name}"), keyring)
}

fn wait(what: &str, within: Duration, mut until: impl FnMut() -> bool) {
    let started = Instant::now();
    while !until() {
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn readiness(service: &RbdService) -> (u16, String) {
    let answer = service.admin_client().get("/readyz").expect("an answer");
    (answer.status, answer.text())
}

#[test]
fn check_passes_on_a_sound_cluster() {
    let pool = format!("check-well-{}", std::process::id());
    ceph().create_pool(&pool).unwrap();
    let conf = ceph().conf();
    let checked = check(conf, ceph().keyring(), &[]);
    assert_eq!(checked.code, 0, "{}", checked.text);
    checked.expect(&format!("ok       configuration: {} (named by --ceph-conf) can be read.", conf.display()), "");
    let keyring = ceph().keyring().display();
    checked.expect(&format!("ok       keyring: {keyring} can be read and has a key for client.admin."), "");
    let fsid = ceph().ceph(&["fsid"]).unwrap();
    checked
        .expect(&format!("ok       connection: The monitors know client.admin; the cluster is {}.", fsid.trim()), "");
    checked.expect("ok       pool capabilities: client.admin may create and delete pools.", "");
    checked.has("ok       monitors: Monitors answer at 127.0.0.1:");
    checked.has("ok       image capabilities: client.admin may use the images of pool");
    // It has changed nothing.
    assert!(!ceph().ceph(&["osd", "pool", "ls"]).unwrap().contains("no-such-thing"));
    ceph().delete_pool(&pool).unwrap();
}

#[test]
fn check_exits_cleanly_after_each_fault() {
    for _ in 0..10 {
        assert_eq!(check(ceph().conf(), ceph().keyring(), &[]).code, 0);
    }
}

#[test]
fn check_prints_json() {
    let directory = directory();
    let missing = directory.path().join("none");
    let checked = check(ceph().conf(), &missing, &["--json"]);
    assert_eq!(checked.code, 1);
    let report: serde_json::Value = serde_json::from_str(&checked.text).unwrap();
    let finding = &report["findings"][2];
    assert_eq!(finding["subject"], "keyring");
    assert_eq!(finding["state"], "error");
    assert!(finding["detail"].as_str().unwrap().contains("does not exist"), "{report}");
    assert!(finding["correction"].as_str().unwrap().contains("ceph auth get client.admin -o "), "{report}");
}

#[test]
fn missing_conf_is_reported() {
    let directory = directory();
    let conf = directory.path().join("ceph.conf");
    let keyring = directory.path().join("keyring");
    let checked = check(&conf, &keyring, &[]);
    assert_eq!(checked.code, 1);
    checked.expect(
        &format!("error    configuration: The configuration file {} (named by --ceph-conf) does not exist.", conf.display()),
        "Put the cluster's configuration there (`ceph config generate-minimal-conf` on a host of the cluster prints it), \
         or name another with --ceph-conf or CEPH_CONF.",
    );
    // What else can be known is said too.
    checked
        .expect(&format!("error    keyring: The keyring {} for client.admin does not exist.", keyring.display()), "");

    let mut by_environment = command(&[]);
    by_environment.env("CEPH_CONF", &conf);
    let checked = run(by_environment);
    checked.expect(
        &format!(
            "error    configuration: The configuration file {} (named by CEPH_CONF) does not exist.",
            conf.display()
        ),
        "Put the cluster's configuration there",
    );

    // Ceph's own search, in a directory and a home that hold none.
    let mut searched = command(&[]);
    searched.current_dir(directory.path()).env("HOME", directory.path());
    if !Path::new("/etc/ceph/ceph.conf").exists() {
        let home = directory.path().join(".ceph/ceph.conf");
        run(searched).expect(
            &format!(
                "error    configuration: No configuration file can be used: /etc/ceph/ceph.conf does not exist; {} does not \
                 exist; ceph.conf does not exist (Ceph's own search; neither --ceph-conf nor CEPH_CONF is given).",
                home.display()
            ),
            "Put the cluster's configuration there",
        );
    }
}

#[test]
fn unusable_conf_is_reported() {
    let directory = directory();
    let conf = directory.path().join("ceph.conf");
    fs::write(&conf, "[global]\nthe monitor is at home\n").unwrap();
    let checked = check(&conf, ceph().keyring(), &[]);
    assert_eq!(checked.code, 1);
    checked.expect(
        &format!(
            "error    configuration: The configuration file {} (named by --ceph-conf) does not parse. Line 2 is neither a \
             [section], an option = value nor a comment.",
            conf.display()
        ),
        "Correct it",
    );
    let checked = check(directory.path(), ceph().keyring(), &[]);
    assert_eq!(checked.code, 1);
    checked.has(&format!("{} (named by --ceph-conf) is a directory.", directory.path().display()));
}

#[test]
fn empty_mon_host_is_reported() {
    let directory = directory();
    let conf = conf_with_mon_host(directory.path(), "");
    let checked = check(&conf, ceph().keyring(), &[]);
    assert_eq!(checked.code, 1);
    checked.expect(
        &format!(
            "error    monitors: mon_host is empty in {}, and DNS has no SRV records of the monitors (mon_dns_srv_name).",
            conf.display()
        ),
        "Write `mon_host = ADDRESS, ADDRESS, ...` into its section [global]",
    );
}

#[test]
fn unresolvable_mon_host_is_reported() {
    let directory = directory();
    // Also when the next one would do: Ceph uses none of them then.
    for mon_host in ["no-such-host.invalid".to_owned(), format!("{},no-such-host.invalid", ceph().mon_addr())] {
        let conf = conf_with_mon_host(directory.path(), &mon_host);
        let started = Instant::now();
        let checked = check(&conf, ceph().keyring(), &["--connect-timeout", "2s"]);
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        assert_eq!(checked.code, 1);
        checked.has(&format!(
            "error    monitors: mon_host in {} names \"no-such-host.invalid\", which does not resolve: ",
            conf.display()
        ));
        checked.has("-> Correct the name, or DNS on this host, or write addresses.");
    }
    let conf = conf_with_mon_host(directory.path(), "127.0.0.1:99999");
    check(&conf, ceph().keyring(), &[]).expect(
        &format!("error    monitors: mon_host in {} holds \"127.0.0.1:99999\", which is no address.", conf.display()),
        "Write addresses such as 192.0.2.1",
    );
}

#[test]
fn unreachable_mon_host_is_reported() {
    let directory = directory();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let conf = conf_with_mon_host(directory.path(), &closed.to_string());
    let checked = check(&conf, ceph().keyring(), &[]);
    assert_eq!(checked.code, 1);
    checked.expect(
        &format!(
            "error    monitors: No monitor of mon_host in {} can be reached: {closed} (connection refused).",
            conf.display()
        ),
        "See that the monitors run (`ceph mon stat` on a host of the cluster), that these are their addresses, and that routes, \
         firewalls and network policies let this host reach their ports (3300 and 6789).",
    );
    // Accepts, but says nothing, as a frozen monitor.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let conf = conf_with_mon_host(directory.path(), &address.to_string());
    let started = Instant::now();
    let checked = check(&conf, ceph().keyring(), &["--connect-timeout", "1s"]);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(checked.code, 1);
    checked.has(&format!("{address} (accepts connections, but has said nothing for 1 s: frozen or overloaded)."));
    // One of several is enough.
    let conf = conf_with_mon_host(directory.path(), &format!("{closed},{}", ceph().mon_addr()));
    let checked = check(&conf, ceph().keyring(), &[]);
    assert_eq!(checked.code, 0, "{}", checked.text);
    checked.has(&format!("; not at {closed} (connection refused)."));
}

#[test]
fn missing_keyring_is_reported() {
    let directory = directory();
    let keyring = directory.path().join("keyring");
    let checked = check(ceph().conf(), &keyring, &[]);
    assert_eq!(checked.code, 1);
    checked.expect(
        &format!(
            "error    keyring: The keyring {} for client.admin does not exist (named by --keyring).",
            keyring.display()
        ),
        &format!(
            "As an administrator of the cluster write it with `ceph auth get client.admin -o {}`, or name another with \
             --keyring.",
            keyring.display()
        ),
    );
    // Where the configuration decides, all of its paths are named.
    let conf = directory.path().join("ceph.conf");
    let text = fs::read_to_string(ceph().conf()).unwrap();
    let (before, after) = text.split_once("keyring = ").unwrap();
    let rest = after.split_once('\n').unwrap().1;
    let places = format!("{0}/$cluster.$name.keyring,{0}/keyring", directory.path().display());
    fs::write(&conf, format!("{before}keyring = {places}\n{rest}")).unwrap();
    let mut searched = command(&["--id", "console"]);
    searched.arg("--ceph-conf").arg(&conf);
    run(searched).expect(
        &format!(
            "error    keyring: No keyring for client.console can be used: {0}/ceph.client.console.keyring does not exist; \
             {0}/keyring does not exist (from the option `keyring` of Ceph's configuration or its default; --keyring is not \
             given).",
            directory.path().display()
        ),
        &format!(
            "As an administrator of the cluster write it with `ceph auth get client.console -o \
             {}/ceph.client.console.keyring`",
            directory.path().display()
        ),
    );
}

#[test]
fn unreadable_keyring_is_reported() {
    let directory = directory();
    let keyring = directory.path().join("keyring");
    fs::copy(ceph().keyring(), &keyring).unwrap();
    let binary = directory.path().join("sparrow-rbd");
    fs::copy(BINARY, &binary).unwrap();
    let conf = directory.path().join("ceph.conf");
    fs::copy(ceph().conf(), &conf).unwrap();
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o644)).unwrap();
    let owner = fs::metadata(&keyring).unwrap().uid();
    let (mut command, user, mode) = if owner == 0 {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
        (command, 65534, 0o600)
    } else {
        (Command::new(&binary), owner, 0)
    };
    fs::set_permissions(&keyring, fs::Permissions::from_mode(mode)).unwrap();
    command.arg("check").arg("--ceph-conf").arg(&conf).arg("--keyring").arg(&keyring);
    let checked = run(command);
    assert_eq!(checked.code, 1);
    let keyring = keyring.display();
    checked.has(&format!(
        "error    keyring: The keyring {keyring} cannot be read by user {user}: it belongs to user {owner} "
    ));
    checked.has(&format!(
        "mode {mode:04o} (named by --keyring).\n         -> Let user {user} read it (`chown {user} {keyring}`"
    ));
}

#[test]
fn unusable_keyring_is_reported() {
    let directory = directory();
    let keyring = directory.path().join("keyring");
    let name = keyring.display().to_string();
    let secret = "not-base64-and-secret";
    for (content, fault) in [
        ("hello\n".to_owned(), "line 1 is neither an [entity] nor, below one, an option = value"),
        (format!("[client.admin]\nkey = {secret}\n"), "line 2 holds no key for client.admin"),
        ("[client.admin]\nkey = AQ==\n".to_owned(), "line 2 holds no key for client.admin"),
    ] {
        fs::write(&keyring, content).unwrap();
        let checked = check(ceph().conf(), &keyring, &[]);
        assert_eq!(checked.code, 1);
        checked.expect(
            &format!("error    keyring: The keyring {name} is garbage: {fault}."),
            &format!("As an administrator of the cluster write it with `ceph auth get client.admin -o {name}`"),
        );
        assert!(!checked.text.contains(secret), "{}", checked.text);
    }
    fs::remove_file(&keyring).unwrap();
    fs::create_dir(&keyring).unwrap();
    let checked = check(ceph().conf(), &keyring, &[]);
    assert_eq!(checked.code, 1);
    checked.expect(
        &format!("error    keyring: The keyring {name} for client.admin is a directory."),
        "Name the file in it with --keyring.",
    );
}

#[test]
fn keyring_without_the_entity_is_reported() {
    let (entity, keyring) = client(ceph(), "check-other", &FULL);
    let checked = check(ceph().conf(), &keyring, &["--id", "console"]);
    assert_eq!(checked.code, 1);
    let name = keyring.display();
    checked.expect(
        &format!("error    keyring: The keyring {name} has no key for client.console: it has {entity}."),
        "Name the entity it has with --id, or another keyring with --keyring. As an administrator of the cluster write it \
         with `ceph auth get client.console -o ",
    );
    let key = ceph().ceph(&["auth", "print-key", &entity]).unwrap();
    assert!(!checked.text.contains(key.trim()));
    let directory = directory();
    let empty = directory.path().join("keyring");
    fs::write(&empty, "").unwrap();
    let checked = check(ceph().conf(), &empty, &[]);
    checked.expect(
        &format!("error    keyring: The keyring {} has no key for client.admin: it is empty.", empty.display()),
        "As an administrator",
    );
}

#[test]
fn wrong_key_is_reported() {
    let (entity, keyring) = client(ceph(), "check-wrong", &FULL);
    let text = fs::read_to_string(&keyring).unwrap();
    let directory = directory();
    let wrong = directory.path().join("keyring");
    let admin = fs::read_to_string(ceph().keyring()).unwrap();
    let key = admin.lines().find(|line| line.trim().starts_with("key")).unwrap();
    fs::write(&wrong, format!("{}\n{key}\n", text.lines().next().unwrap())).unwrap();
    let checked = check(ceph().conf(), &wrong, &["--id", &entity]);
    assert_eq!(checked.code, 1);
    let name = wrong.display();
    checked.expect(
        &format!(
            "error    connection: The monitors reject {entity} with the key in {name}: it is not the key they have for it, they \
             do not know the entity, or it has no capability for mon."
        ),
        &format!("As an administrator of the cluster look at `ceph auth get {entity}`, and write the keyring anew with"),
    );
    // The same to a client: an entity with no capabilities at all.
    let (entity, keyring) = client(ceph(), "check-nothing", &[]);
    let checked = check(ceph().conf(), &keyring, &["--id", &entity]);
    assert_eq!(checked.code, 1);
    checked.has(&format!(
        "If it lacks the capability: `ceph auth caps {entity} mon 'profile rbd' osd 'profile rbd' mgr 'profile rbd'`."
    ));
}

/// The arguments of a `ceph` command line as documentation and answers show it.
fn words(command: &str) -> Vec<&str> {
    let parts = command.strip_prefix("ceph ").expect("a command").split('\'').enumerate();
    parts
        .flat_map(|(index, part)| if index % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
        .collect()
}

#[test]
fn documented_command_makes_an_entity_that_works() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating/ceph-access.md");
    let page = fs::read_to_string(page).unwrap();
    let line = |start: &str| page.lines().find(|line| line.starts_with(start)).unwrap();
    let directory = directory();
    let keyring = directory.path().join("ceph.client.sparrow.keyring");
    let mut make = words(line("ceph auth get-or-create client.sparrow "));
    assert_eq!(make.pop(), Some("/etc/ceph/ceph.client.sparrow.keyring"));
    let path = keyring.display().to_string();
    make.push(&path);
    ceph().ceph(&make).unwrap();
    let checked = check(ceph().conf(), &keyring, &["--id", "sparrow"]);
    assert_eq!(checked.code, 0, "{}", checked.text);
    checked.has("warning  pool capabilities: client.sparrow lacks mon 'allow command");
    // And the one that lets it administer pools.
    ceph().ceph(&words(line("ceph auth caps client.sparrow "))).unwrap();
    let checked = check(ceph().conf(), &keyring, &["--id", "sparrow"]);
    checked.expect("ok       pool capabilities: client.sparrow may create and delete pools.", "");
    ceph().ceph(&["auth", "rm", "client.sparrow"]).unwrap();
}

#[test]
fn missing_capabilities_are_reported() {
    let ceph = Ceph::start(CephOptions::default()).unwrap();
    ceph.create_pool("one").unwrap();
    ceph.create_pool("two").unwrap();
    let check = |name: &str, caps: &[(&str, &str)]| {
        let (entity, keyring) = client(&ceph, name, caps);
        (check(ceph.conf(), &keyring, &["--id", &entity, "--connect-timeout", "3s"]), entity)
    };

    let (checked, entity) = check("monitor", &[("mon", "profile rbd")]);
    assert_eq!(checked.code, 1);
    checked.expect(
        &format!(
            "error    image capabilities: {entity} may use the images of no pool for rbd (tried pools \"one\", \"two\"): its \
             capability for osd is missing or too small."
        ),
        &format!(
            "As an administrator of the cluster: `ceph auth caps {entity} mon 'profile rbd' osd 'profile rbd' mgr 'profile \
             rbd'`, which replaces what it has."
        ),
    );
    // Without the right to call object classes nothing of RBD works.
    let (checked, _) = check("plain", &[("mon", "allow r"), ("osd", "allow rw")]);
    assert_eq!(checked.code, 1);

    let (checked, entity) = check("one", &[("mon", "profile rbd"), ("osd", "profile rbd pool=one")]);
    assert_eq!(checked.code, 0);
    checked.expect(
        &format!("warning  image capabilities: {entity} may not use the images of pool \"two\"."),
        "Unless this is as meant, as an administrator of the cluster: `ceph auth caps",
    );
    let (checked, entity) = check("reader", &[("mon", "profile rbd"), ("osd", "profile rbd-read-only")]);
    assert_eq!(checked.code, 0);
    checked.has(&format!("warning  image capabilities: {entity} may only read the images of pools \"one\", \"two\"."));

    // The monitors let it in, but do not show it the maps.
    let (checked, entity) = check("blind", &[("mon", "allow command \"version\""), ("osd", "profile rbd")]);
    assert_eq!(checked.code, 1);
    checked.expect(
        &format!(
            "error    image capabilities: {entity} may not read the cluster's maps: its capability for mon is too small."
        ),
        "As an administrator of the cluster: `ceph auth caps",
    );

    let (checked, entity) = check("full", &FULL);
    assert_eq!(checked.code, 0);
    checked.has(&format!("ok       image capabilities: {entity} may use the images of pools \"one\", \"two\"."));
    checked.expect(
        &format!(
            "warning  pool capabilities: {entity} lacks mon 'allow command \"osd pool create\"', mon 'allow command \"osd \
             pool delete\"', mon 'allow command \"osd pool application enable\"', \
             mon 'allow command \"osd pool set-quota\"': creating or deleting pools answers 403, \
             all else works."
        ),
        &format!(
            "If it shall, as an administrator of the cluster: `ceph auth caps {entity} mon 'profile rbd, allow command \"osd \
             pool create\", allow command \"osd pool delete\", allow command \"osd pool application enable\", \
             allow command \"osd pool set-quota\"' osd 'profile \
             rbd' mgr 'profile rbd'`, which replaces what it has."
        ),
    );
    assert_eq!(ceph.ceph(&["osd", "pool", "ls"]).unwrap().lines().collect::<Vec<_>>(), ["one", "two"]);

    // An OSD that does not answer is not taken for missing capabilities, and holds nothing up.
    let frozen = ceph.frozen(Daemon::Osd).unwrap();
    let started = Instant::now();
    let keyring = ceph.keyring().to_owned();
    let mut command = command(&["--connect-timeout", "1s"]);
    command.arg("--ceph-conf").arg(ceph.conf()).arg("--keyring").arg(keyring);
    let checked = run(command);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(checked.code, 0);
    checked.expect(
        "warning  image capabilities: Not known: the OSDs did not answer within 1 s.",
        "Look at `ceph health detail` on a host of the cluster.",
    );
    drop(frozen);
    let frozen = ceph.frozen(Daemon::Mon).unwrap();
    let started = Instant::now();
    let (conf, keyring) = (ceph.conf().to_owned(), ceph.keyring().to_owned());
    let mut command = self::command(&["--connect-timeout", "1s"]);
    command.arg("--ceph-conf").arg(conf).arg("--keyring").arg(keyring);
    let checked = run(command);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(checked.code, 1);
    checked.has("error    monitors: No monitor of mon_host in ");
    drop(frozen);
}

#[test]
fn serve_says_what_is_missing_and_becomes_ready() {
    let directory = directory();
    let (conf, keyring) = (directory.path().join("ceph.conf"), directory.path().join("keyring"));
    let service = RbdServiceOptions::with_files(BINARY, &conf, &keyring).without_waiting().start().unwrap();
    let sees = |what: &str| {
        wait(what, Duration::from_secs(10), || readiness(&service).1.contains(what));
        let answer = service.client.get("/api/v1/pools").unwrap().expect(503);
        assert_eq!(answer.problem(), "ceph-unavailable");
        let cause = answer.json()["cause"].as_str().unwrap().to_owned();
        assert!(cause.contains(what), "{cause}");
        assert_eq!(readiness(&service).0, 503);
    };
    sees(&format!("The configuration file {} (named by --ceph-conf) does not exist.", conf.display()));
    fs::copy(ceph().conf(), &conf).unwrap();
    sees(&format!("The keyring {} for client.admin does not exist (named by --keyring).", keyring.display()));
    fs::write(&keyring, "hello").unwrap();
    sees(&format!("The keyring {} is garbage", keyring.display()));
    conf_with_mon_host(directory.path(), "no-such-host.invalid");
    sees("which does not resolve");
    fs::copy(ceph().conf(), &conf).unwrap();
    fs::copy(ceph().keyring(), &keyring).unwrap();
    wait("ready", Duration::from_secs(10), || readiness(&service) == (200, "ready\n".into()));
    service.client.get("/api/v1/pools").unwrap().expect(200);

    // From now on it stays ready, on the connection it has, and says what is wrong.
    fs::write(&keyring, "hello").unwrap();
    wait("but", Duration::from_secs(10), || readiness(&service).1.starts_with("ready\nbut: The keyring "));
    service.client.get("/api/v1/pools").unwrap().expect(200);
    fs::copy(ceph().keyring(), &keyring).unwrap();
    wait("well again", Duration::from_secs(10), || readiness(&service) == (200, "ready\n".into()));
    let log = service.log();
    assert!(log.contains("\"subject\":\"configuration\"") && log.contains("does not exist"), "{log}");
}

#[test]
fn serve_without_any_monitor_becomes_ready_when_it_comes() {
    let ceph = Ceph::start(CephOptions::default()).unwrap();
    ceph.stop_daemon(Daemon::Mon).unwrap();
    let service = RbdServiceOptions::new(BINARY, &ceph).without_waiting().start().unwrap();
    wait("refused", Duration::from_secs(10), || readiness(&service).1.contains("(connection refused)"));
    assert_eq!(readiness(&service).0, 503);
    ceph.start_daemon(Daemon::Mon).unwrap();
    wait("ready", Duration::from_secs(10), || readiness(&service).0 == 200);
    service.client.get("/api/v1/pools").unwrap().expect(200);
    // An outage later on keeps it ready.
    ceph.stop_daemon(Daemon::Mon).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(readiness(&service).0, 200);
}

#[test]
fn serve_reports_missing_capabilities() {
    let ceph = Ceph::start(CephOptions::default()).unwrap();
    ceph.create_pool("one").unwrap();
    let (entity, keyring) = client(&ceph, "service", &[("mon", "profile rbd")]);
    let service = RbdServiceOptions::with_files(BINARY, ceph.conf(), &keyring)
        .arguments(&["--id", &entity])
        .without_waiting()
        .start()
        .unwrap();
    wait("said", Duration::from_secs(10), || {
        readiness(&service).1.contains("its capability for osd is missing or too small.")
    });
    assert_eq!(readiness(&service).0, 503);

    // With the capabilities of the documentation it is ready, and all but the administration of pools works.
    let caps = ["auth", "caps", &entity, "mon", "profile rbd", "osd", "profile rbd", "mgr", "profile rbd"];
    ceph.ceph(&caps).unwrap();
    wait("ready", Duration::from_secs(10), || readiness(&service) == (200, "ready\n".into()));
    let api = &service.client;
    let image = json!({ "name": "a", "sizeBytes": 1 << 20 });
    api.post("/api/v1/pools/one/images", &image).unwrap().expect(201);
    assert_eq!(api.get("/api/v1/pools/one/images/a").unwrap().expect(200).json()["sizeBytes"], 1 << 20);
    assert_eq!(api.get("/api/v1/pools/one/images").unwrap().expect(200).json()["Items"][0]["name"], "a");

    let rejected = api.post("/api/v1/pools", &json!({ "name": "new" })).unwrap().expect(403);
    assert_eq!(rejected.problem(), "ceph-forbidden");
    let problem = rejected.json();
    assert_eq!(problem["capability"], "mon 'allow command \"osd pool create\"'");
    assert_eq!(problem["cause"], format!("{entity} lacks the capability mon 'allow command \"osd pool create\"'."));
    let rejected = api.delete("/api/v1/pools/one?confirm=one").unwrap().expect(403);
    assert_eq!(rejected.problem(), "ceph-forbidden");
    assert_eq!(rejected.json()["capability"], "mon 'allow command \"osd pool delete\"'");
    assert_eq!(readiness(&service).0, 200);
    assert_eq!(ceph.ceph(&["osd", "pool", "ls"]).unwrap().trim(), "one");

    // What the answer says to do is enough, word for word, and counts without a restart.
    let correction = problem["correction"].as_str().unwrap();
    ceph.ceph(&words(correction.split('`').nth(1).unwrap())).unwrap();
    wait("made", Duration::from_secs(20), || {
        api.post("/api/v1/pools", &json!({ "name": "new" })).unwrap().status == 201
    });
    api.post("/api/v1/pools/new/images", &image).unwrap().expect(201);
    assert_eq!(api.post("/api/v1/pools", &json!({ "name": "new" })).unwrap().expect(409).problem(), "exists");
    assert_eq!(api.post("/api/v1/pools", &json!({ "name": ".new" })).unwrap().expect(400).json()["field"], "name");
    api.delete("/api/v1/pools/new?confirm=new").unwrap().expect(204);

    // Deleting that the cluster forbids to everybody is another matter.
    ceph.ceph(&["tell", "mon.a", "config", "set", "mon_allow_pool_delete", "false"]).unwrap();
    let rejected = api.delete("/api/v1/pools/one?confirm=one").unwrap().expect(403);
    assert_eq!(rejected.problem(), "ceph-forbidden");
    assert!(
        rejected.json()["correction"].as_str().unwrap().contains("mon_allow_pool_delete true"),
        "{}",
        rejected.text()
    );
}
