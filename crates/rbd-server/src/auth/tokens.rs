//! Tokens from a file, which holds only their hashes.
//!
//! ```json
//! {
//!   "tokens": [
//!     {
//!       "name": "console",
//!       "hash": "sha256:7c22…64 hexadecimal digits",
//!       "role": "operator",
//!       "scope": [{ "pool": "kube" }, { "pool": "rbd", "namespace": "team-a" }],
//!       "expiresAt": "2031-01-01T00:00:00Z"
//!     }
//!   ]
//! }
//! ```
//!
//! `scope` and `expiresAt` may be left out: everywhere, for ever. [`make`] makes a token.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rand::TryRngCore as _;
use rbd_api::problem::{Kind, RequestFault};
use rbd_api::role::Role;
use rbd_model::fault::Fault;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::permission::{Permission, Reach};
use crate::metrics::Metrics;
use crate::reload::ReloadedFiles;

/// What every secret begins with, so that scanners for leaked secrets can know it.
const PREFIX: &str = "sparrow_rbd_";
/// The random bytes of a secret. So many cannot be guessed, which is why a fast hash of them is enough.
const SECRET_BYTES: usize = 32;
/// The longest name of a token.
const NAME_LIMIT_BYTES: usize = 128;

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokensFile {
    /// Those who may call.
    pub tokens: Vec<Token>,
}

/// A token as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    /// Whose it is, for the audit log. No two tokens share one.
    pub name: String,
    /// SHA-256 of the secret.
    pub hash: SecretHash,
    /// What its bearer may do.
    pub role: Role,
    /// Where.
    #[serde(default, skip_serializing_if = "Scope::is_everything")]
    pub scope: Scope,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// SHA-256 of a secret, written `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> Self {
        let mut text = "sha256:".to_owned();
        for byte in hash.0 {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
        }
        text
    }
}

impl TryFrom<String> for SecretHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const FORM: &str = "a hash is \"sha256:\" and 64 hexadecimal digits";
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64).ok_or(FORM)?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(FORM);
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

/// Where a token is good: everywhere, or in the listed places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scope(Option<Vec<ScopeEntry>>);

/// A place of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopeEntry {
    /// The pool; `*` for all.
    pub pool: String,
    /// The namespace: absent or `*` for the pool as a whole, empty for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Scope {
    /// These places; everywhere if there are none.
    pub fn of(entries: Vec<ScopeEntry>) -> Self {
        Self((!entries.is_empty()).then_some(entries))
    }

    fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a call that reaches so far stays inside.
    pub fn covers(&self, reach: Reach<'_>) -> bool {
        let Some(entries) = &self.0 else { return true };
        let any = |pool: &str, matches: &dyn Fn(&ScopeEntry) -> bool| {
            entries.iter().any(|entry| entry.names_pool(pool) && matches(entry))
        };
        match reach {
            Reach::Cluster => false,
            Reach::Filtered => true,
            Reach::Pool(pool) => any(pool, &ScopeEntry::is_whole_pool),
            Reach::Namespace { pool, namespace } => {
                any(pool, &|entry| entry.is_whole_pool() || entry.namespace.as_deref() == Some(namespace))
            }
        }
    }

    /// Whether anything in the pool is inside.
    pub fn reaches_into(&self, pool: &str) -> bool {
        self.0.as_ref().is_none_or(|entries| entries.iter().any(|entry| entry.names_pool(pool)))
    }
}

impl ScopeEntry {
    fn names_pool(&self, pool: &str) -> bool {
        self.pool == "*" || self.pool == pool
    }

    fn is_whole_pool(&self) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| namespace == "*")
    }
}

/// `POOL` for a pool as a whole, `POOL/NAMESPACE` for one namespace, `POOL/` for the default one.
impl std::str::FromStr for ScopeEntry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (pool, namespace) = match text.split_once('/') {
            Some((pool, namespace)) => (pool, Some(namespace.to_owned())),
            None => (text, None),
        };
        if pool.is_empty() || namespace.as_deref().is_some_and(|namespace| namespace.contains('/')) {
            return Err("a scope is POOL, POOL/NAMESPACE, or POOL/ for the default namespace".to_owned());
        }
        Ok(Self { pool: pool.to_owned(), namespace })
    }
}

impl TokensFile {
    /// Reads and checks a file's content.
    ///
    /// # Errors
    /// What is wrong, with line and column where it is the JSON.
    pub fn parse(content: &[u8]) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_slice(content);
        let file: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| error.to_string())?;
        json.end().map_err(|error| error.to_string())?;
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<(), String> {
        for (index, token) in self.tokens.iter().enumerate() {
            let name = &token.name;
            if name.is_empty() || name.len() > NAME_LIMIT_BYTES || name.chars().any(char::is_control) {
                return Err(format!(
                    "token {name:?}: a name has 1 to {NAME_LIMIT_BYTES} bytes without control characters"
                ));
            }
            let others = &self.tokens[..index];
            if others.iter().any(|other| other.name == *name) {
                return Err(format!("two tokens have the name {name:?}"));
            }
            if let Some(other) = others.iter().find(|other| other.hash == token.hash) {
                return Err(format!("tokens {:?} and {name:?} have the same hash", other.name));
            }
            let Some(entries) = &token.scope.0 else { continue };
            if entries.is_empty() {
                return Err(format!("token {name:?}: an empty scope allows nothing; leave it out to allow everything"));
            }
            if entries.iter().any(|entry| entry.pool.is_empty()) {
                return Err(format!("token {name:?}: a place of the scope has an empty pool"));
            }
        }
        Ok(())
    }

    /// The token with this secret. Takes the same time whichever it is, and whether there is one.
    fn find(&self, secret: &str) -> Option<&Token> {
        let hash = SecretHash::of(secret);
        let mut found = u64::MAX;
        for (index, token) in (0u64..).zip(&self.tokens) {
            found.conditional_assign(&index, token.hash.0.ct_eq(&hash.0));
        }
        self.tokens.get(usize::try_from(found).ok()?)
    }
}

/// The tokens of a file, read anew when its content changes.
pub struct Tokens {
    file: ReloadedFiles<TokensFile>,
}

impl Tokens {
    /// Reads the file and watches it.
    ///
    /// # Errors
    /// It cannot be read or has an error.
    pub fn start(path: &Path, metrics: &Metrics) -> anyhow::Result<Self> {
        let shown = path.display().to_string();
        let parse =
            move |contents: &[Vec<u8>]| TokensFile::parse(&contents[0]).map_err(|error| format!("{shown}: {error}"));
        Ok(Self { file: ReloadedFiles::start("tokens", vec![path.to_owned()], metrics, parse)? })
    }

    /// The token with this secret.
    ///
    /// # Errors
    /// `invalid-token`.
    pub fn authenticate(&self, secret: &str) -> Result<Token, RequestFault> {
        let invalid = |detail: &str| Fault::new(Kind::InvalidToken, detail.to_owned());
        let file = self.file.current();
        // Somebody may have put the hash of a password into the file; such a hash could be broken.
        let formed = secret
            .strip_prefix(PREFIX)
            .is_some_and(|random| URL_SAFE_NO_PAD.decode(random).is_ok_and(|bytes| bytes.len() == SECRET_BYTES));
        let token = formed.then(|| file.find(secret)).flatten().ok_or_else(|| {
            invalid("The token is not one of this service.")
                .correction("Ask the operator for one, made with `sparrow-rbd token`.")
        })?;
        if let Some(end) = token.expires_at.filter(|end| *end <= Timestamp::now()) {
            return Err(invalid(&format!("The token expired at {end}.")).correction("Ask the operator for a new one."));
        }
        Ok(token.clone())
    }
}

/// Whether role and scope allow it.
pub(super) fn authorize(name: &str, role: Role, scope: &Scope, permission: Permission<'_>) -> Result<(), RequestFault> {
    if role < permission.role {
        return Err(Fault::new(
            Kind::Forbidden,
            format!(
                "The request takes the role {}; the token {name:?} has the role {}.",
                permission.role.name(),
                role.name()
            ),
        )
        .correction(format!("Use a token with the role {}.", permission.role.name())));
    }
    if !scope.covers(permission.reach) {
        return Err(Fault::new(
            Kind::Forbidden,
            format!("The scope of the token {name:?} does not cover {}.", permission.reach),
        )
        .correction("Use a token whose scope covers it; GET /api/v1/pools lists the pools that this one reaches."));
    }
    Ok(())
}

/// A new token: its secret, which is kept nowhere, and its entry for the file.
///
/// # Errors
/// The system gives no randomness.
pub fn make(
    name: String,
    role: Role,
    scope: Vec<ScopeEntry>,
    expires_at: Option<Timestamp>,
) -> anyhow::Result<(String, Token)> {
    let mut random = [0; SECRET_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut random)?;
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let hash = SecretHash::of(&secret);
    let token = Token { name, hash, role, scope: Scope::of(scope), expires_at };
    TokensFile { tokens: vec![token.clone()] }.check().map_err(anyhow::Error::msg)?;
    Ok((secret, token))
}

/// Adds a token to the file, which is made if there is none. Readers see the file before or after, never between; it is
/// readable by its owner alone then.
///
/// # Errors
/// The file has an error, has a token of this name, or cannot be written.
pub fn append(path: &Path, token: Token) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write as _};
    use std::os::unix::fs::{MetadataExt as _, fchown};

    use anyhow::Context as _;

    // Through a symbolic link, so that it stays one.
    let path = match path.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        known => known.with_context(|| path.display().to_string())?,
    };
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    // Two at once would lose one of their tokens. The directory is what stays the same.
    let lock = std::fs::File::open(directory).with_context(|| directory.display().to_string())?;
    lock.lock().with_context(|| format!("lock {}", directory.display()))?;
    let (mut file, owner) = match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => (TokensFile::default(), None),
        content => {
            let content = content.with_context(|| path.display().to_string())?;
            let file = TokensFile::parse(&content).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            let metadata = std::fs::metadata(&path).with_context(|| path.display().to_string())?;
            (file, Some((metadata.uid(), metadata.gid())))
        }
    };
    file.tokens.push(token);
    file.check().map_err(anyhow::Error::msg)?;
    let mut text = serde_json::to_vec_pretty(&file)?;
    text.push(b'\n');
    let name = path.file_name().context("the path names no file")?.to_string_lossy().into_owned();
    let beside = directory.join(format!(".{name}.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut new = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        new.write_all(&text)?;
        let made = new.metadata()?;
        // The service may run as another user than the one who adds a token.
        if let Some((uid, gid)) = owner.filter(|owner| *owner != (made.uid(), made.gid())) {
            fchown(&new, Some(uid), Some(gid))?;
        }
        new.sync_all()?;
        std::fs::rename(&beside, &path)?;
        lock.sync_all()
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&beside))).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(places: &[&str]) -> Scope {
        Scope::of(places.iter().map(|place| place.parse().unwrap()).collect())
    }

    fn namespace<'a>(pool: &'a str, namespace: &'a str) -> Reach<'a> {
        Reach::Namespace { pool, namespace }
    }

    #[test]
    fn scope_covers_what_it_names_and_no_more() {
        let everything = scope(&[]);
        let pool = scope(&["a"]);
        let team = scope(&["a/team"]);
        let default = scope(&["a/"]);
        let team_anywhere = scope(&["*/team"]);
        for (reach, expected) in [
            // everything, pool, team, default, team_anywhere
            (Reach::Cluster, [true, false, false, false, false]),
            (Reach::Filtered, [true, true, true, true, true]),
            (Reach::Pool("a"), [true, true, false, false, false]),
            (Reach::Pool("b"), [true, false, false, false, false]),
            (namespace("a", ""), [true, true, false, true, false]),
            (namespace("a", "team"), [true, true, true, false, true]),
            (namespace("a", "team2"), [true, true, false, false, false]),
            (namespace("b", "team"), [true, false, false, false, true]),
        ] {
            let covered = [&everything, &pool, &team, &default, &team_anywhere].map(|scope| scope.covers(reach));
            assert_eq!(covered, expected, "{reach}");
        }
        assert!(team.reaches_into("a") && !team.reaches_into("b") && team_anywhere.reaches_into("b"));
    }

    #[test]
    fn token_is_found_by_the_hash_of_its_secret_only() {
        let (first, a) = make("a".into(), Role::Viewer, vec![], None).unwrap();
        let (second, b) = make("b".into(), Role::Admin, vec!["p".parse().unwrap()], None).unwrap();
        assert_ne!(first, second);
        let file = TokensFile { tokens: vec![a, b] };
        let text = serde_json::to_string(&file).unwrap();
        assert!(!text.contains(&first) && !text.contains(&second));
        let file = TokensFile::parse(text.as_bytes()).unwrap();
        assert_eq!(file.find(&first).unwrap().name, "a");
        assert_eq!(file.find(&second).unwrap().name, "b");
        assert_eq!(file.find(&format!("{first}x")), None);
        assert_eq!(TokensFile::default().find(&first), None);
    }

    #[test]
    fn invalid_tokens_file_is_rejected() {
        let hash = format!("sha256:{}", "ab".repeat(32));
        let token = |more: &str| format!(r#"{{"name":"a","role":"viewer","hash":"{hash}"{more}}}"#);
        let file = |tokens: &str| format!(r#"{{"tokens":[{tokens}]}}"#);
        TokensFile::parse(file(&token("")).as_bytes()).unwrap();
        TokensFile::parse(file(&token(r#","scope":[{"pool":"*","namespace":"n"}]"#)).as_bytes()).unwrap();
        for (wrong, says) in [
            (String::new(), "EOF"),
            ("{}".into(), "missing field `tokens`"),
            (file(&token(r#","secret":"x""#)), "unknown field `secret`"),
            (file(&token(r#","role":"admin""#)), "duplicate field `role`"),
            (file(&token("").replace("viewer", "root")), "unknown variant `root`"),
            (file(&token("").replace("sha256:ab", "sha256:xb")), "64 hexadecimal digits"),
            (file(&token("").replace("sha256:ab", "sha256:")), "64 hexadecimal digits"),
            (file(&token(r#","scope":[]"#)), "an empty scope allows nothing"),
            (file(&token(r#","scope":[{"pool":""}]"#)), "empty pool"),
            (file(&token(r#","scope":[{"pool":"a","ns":"b"}]"#)), "unknown field `ns`"),
            (file(&token(r#","expiresAt":"soon""#)), "expiresAt"),
            (file(&[token(""), token("")].join(",")), "two tokens have the name"),
            (file(&[token(""), token("").replace(r#""a""#, r#""b""#)].join(",")), "the same hash"),
            (format!("{} x", file("")), "trailing"),
        ] {
            let error = TokensFile::parse(wrong.as_bytes()).unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }

    #[test]
    fn tokens_file_is_extended_whole_and_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real.json");
        let link = directory.path().join("link.json");
        std::os::unix::fs::symlink("real.json", &link).unwrap();
        let add = |name: &str| append(&real, make(name.into(), Role::Viewer, vec![], None).unwrap().1);
        add("first").unwrap();
        append(&link, make("linked".into(), Role::Viewer, vec![], None).unwrap().1).unwrap();
        assert!(link.is_symlink());
        let names: Vec<String> = (0..8).map(|number| format!("t{number}")).collect();
        std::thread::scope(|scope| names.iter().for_each(|name| drop(scope.spawn(|| add(name).unwrap()))));
        assert!(add("t3").unwrap_err().to_string().contains("two tokens"));
        let file = TokensFile::parse(&std::fs::read(&real).unwrap()).unwrap();
        assert_eq!(file.tokens.len(), 10);
        assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "nothing else is left");
    }
}
