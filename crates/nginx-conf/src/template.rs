//! A template of the operator's in place of the frame and its table.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use entry_model::{HostName, ObjectRef, PathMatch, PathRewrite, Protocol, Routes, Rule, Scheme};
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, context};

use crate::control_server::control_server;
use crate::revision::{HASH_PLACE, MAIN, finish};
use crate::splice::{MARK, PlacedValue, splice};
use crate::template_rule::{self, forward_of};
use crate::tls::Certificates;
use crate::token::Token;
use crate::upstream::Upstreams;
use crate::writer::{Directive, Writer};
use crate::{LineOrigin, RenderNote, Revision, Settings, listen, stream, template_culprits, x_accel_headers};

/// Largest template, in bytes.
const LARGEST_TEMPLATE: usize = 256 << 10;

/// Largest output, in bytes.
const LARGEST_OUTPUT: usize = 64 << 20;

/// Why a template gives no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is too large.
    #[error("the template has {0} bytes, and at most {LARGEST_TEMPLATE} are read")]
    TooLarge(usize),
    /// It cannot be read or followed.
    #[error("line {line} of the template: {message}")]
    Failed {
        /// The line, counted from 1; 0 if there is none to name.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A value cannot stand where the template puts it.
    #[error("line {line} of the template: the value {value:?} cannot stand here: {why}")]
    MisplacedValue {
        /// The line, counted from 1.
        line: usize,
        /// The value, cut short.
        value: String,
        /// What is wrong and what helps.
        why: &'static str,
        /// Whether another value could: then the fault is not the template's.
        by_value: bool,
    },
    /// Values of these objects cannot stand where the template puts them, and what is wrong with each. It is not the template's
    /// fault: other values could.
    #[error("{}", .0.iter().map(|(object, why)| format!("{object}: {why}")).collect::<Vec<_>>().join("; "))]
    Objects(BTreeMap<ObjectRef, String>),
    /// Nothing in it tells which revision is served.
    #[error(
        "the template does not print `control_server`: write {{{{ control_server }}}} inside `http {{ }}`, so that it can be \
         known which revision nginx serves"
    )]
    NoControlServer,
}

/// Writes the routes with a template in the language of Jinja. The result is `nginx.conf`, whole.
///
/// Every value is quoted as nginx needs it where it placed, or refused; the filter `raw_token` turns that off for one value.
/// The template knows:
///
/// | name | what |
/// |---|---|
/// | `routes` | all rules that lead somewhere, each with `host` (`*` is any), `path`, `match` (`Exact`, `Prefix`), `cluster_ip` (in brackets if IPv6), `port`, `protocol`, `upstream`, `strip_prefix`, `redirect_to_https`, `certificate` (a file, or empty), `kind`, `namespace`, `name` |
/// | `hosts` | the hosts, each with `name`, `certificate` and its `routes` |
/// | `settings` | `http`, `https`, `trusted` (lists), `runtime`, `user`, `access_log`, `error_log`, `worker_processes` |
/// | `control_server` | a server that tells the revision; it must be printed once, inside `http`. Before it stands that no `X-Accel-*` of a backend is obeyed, unless the template has a `proxy_ignore_headers` or `grpc_ignore_headers` of its own |
/// | `upstreams` | an `upstream` for each backend, by the name in `upstream` of a route |
///
/// # Errors
///
/// What is wrong with the template, with its line. Templates are limited in size, in steps and in output. If values of some
/// objects are what is wrong, it is [`TemplateError::Objects`], which names them.
pub fn render_template(template: &str, routes: &Routes, settings: &Settings) -> Result<Revision, TemplateError> {
    attempt(template, routes, settings).map_err(|error| match error {
        TemplateError::MisplacedValue { by_value: true, .. } => {
            let blamed = template_culprits::find_culprits(routes, |routes| attempt(template, routes, settings).err());
            // What fails only together is nobody's.
            if blamed.is_empty() { error } else { TemplateError::Objects(blamed) }
        }
        error => error,
    })
}

fn attempt(template: &str, routes: &Routes, settings: &Settings) -> Result<Revision, TemplateError> {
    if template.len() > LARGEST_TEMPLATE {
        return Err(TemplateError::TooLarge(template.len()));
    }
    if let Some(at) = template.find(MARK) {
        let line = template[..at].lines().count().max(1);
        return Err(TemplateError::Failed { line, message: format!("the character {MARK:?} cannot be used") });
    }
    let mut notes = template_rule::notes(routes);
    notes.extend(restricted_notes(routes));
    notes.extend(stream::notes_beside_template(routes));
    let upstreams = Upstreams::of(routes, settings, &mut notes);
    let certificates = Certificates::of(routes, settings);
    let orders = if x_accel_headers::template_ignores_headers(template) {
        Vec::new()
    } else {
        x_accel_headers::ignore_headers(settings).collect()
    };
    let known = known(routes, settings, &upstreams, &certificates, &orders);

    let values = Arc::new(Mutex::new(Vec::new()));
    let environment = environment(&values, routes);
    let template = environment.template_from_named_str("template", template).map_err(|error| failed(&error))?;
    // Once to see that it ends in time and is not too long, and once for the text and where its parts are from.
    template.render_captured_to(known.clone(), OutputLimit { left: LARGEST_OUTPUT }).map_err(|error| failed(&error))?;
    values.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let (text, spans) = template.render_with_spans(known).map_err(|error| failed(&error))?;

    let values = values.lock().unwrap_or_else(PoisonError::into_inner);
    let (text, placed) = splice(&text, &values).map_err(|misplaced| TemplateError::MisplacedValue {
        line: spans.iter().find(|span| span.output_range().contains(&misplaced.at)).map_or(0, |span| span.line()),
        value: misplaced.value.chars().take(100).collect(),
        why: misplaced.why,
        by_value: misplaced.by_value,
    })?;
    if !text.contains(HASH_PLACE) {
        return Err(TemplateError::NoControlServer);
    }
    let mut origins = origins(routes, &values, &placed);
    let mut files = BTreeMap::from([(MAIN.to_owned(), text.into_bytes())]);
    certificates.write(&mut files, &mut origins);
    Ok(finish(files, origins, notes))
}

fn environment(values: &Arc<Mutex<Vec<String>>>, routes: &Routes) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("nginx".into()));
    let rules = routes.rules().count() as u64;
    environment.set_fuel(Some(1_000_000 + 1_000 * rules));
    let values = Arc::clone(values);
    environment.set_formatter(move |out, _, value| {
        let text = match value.as_str() {
            Some(text) if value.is_safe() => return out.write_str(text).map_err(Error::from),
            Some(text) => text.to_owned(),
            None if value.is_undefined() || value.is_none() => {
                return Err(Error::new(ErrorKind::UndefinedError, "there is no such value"));
            }
            None if value.is_number() => value.to_string(),
            None => {
                return Err(Error::new(ErrorKind::InvalidOperation, format!("a {} is not one token", value.kind())));
            }
        };
        let mut values = values.lock().unwrap_or_else(PoisonError::into_inner);
        let number = values.len();
        values.push(text);
        out.write_str(&format!("{MARK}{number}{MARK}")).map_err(Error::from)
    });
    // A mark of its own becomes one without a number, which is refused as what it is: a fault of the value.
    environment
        .add_filter("raw_token", |text: String| Value::from_safe_string(text.replace(MARK, &format!("{MARK}{MARK}"))));
    environment
}

/// What a template knows.
fn known(
    routes: &Routes,
    settings: &Settings,
    upstreams: &Upstreams<'_>,
    certificates: &Certificates<'_>,
    orders: &[Directive<'static>],
) -> Value {
    let mut all = Vec::new();
    let mut hosts = Vec::new();
    let default_of = |name: &HostName| (*name == HostName::Any).then_some(routes.default.as_ref()).flatten();
    for (name, host) in &routes.hosts {
        // Without quotes: it is a plain name.
        let file = certificates.file(host);
        let file = file.as_ref().map_or("", |file| file.as_str().trim_matches('"'));
        let rules = host.rules.iter().chain(default_of(name));
        let of_host: Vec<Value> = rules.filter_map(|rule| known_rule(routes, name, rule, file, upstreams)).collect();
        all.extend(of_host.iter().cloned());
        hosts.push(context! { name => name.to_string(), certificate => file, routes => of_host });
    }
    if !routes.hosts.contains_key(&HostName::Any) {
        all.extend(routes.default.as_ref().and_then(|rule| known_rule(routes, &HostName::Any, rule, "", upstreams)));
    }
    let control = control_server(settings, Token::word(HASH_PLACE), None);
    let list = |items: Vec<String>| Value::from(items);
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    context! {
        routes => all,
        hosts => hosts,
        upstreams => printed(|writer| upstreams.write(writer)),
        control_server => printed(|writer| orders.iter().chain(&control).for_each(|directive| writer.write(directive))),
        settings => context! {
            http => list(listen::sockets(routes, Scheme::Http).map(|address| address.to_string()).collect()),
            https => list(listen::sockets(routes, Scheme::Https).map(|address| address.to_string()).collect()),
            trusted => list(settings.trusted.iter().map(ToString::to_string).collect()),
            runtime => path(&settings.runtime),
            user => settings.user.clone().unwrap_or_default(),
            access_log => settings.access_log.as_deref().map(path).unwrap_or_default(),
            error_log => path(&settings.error_log),
            worker_processes => settings.worker_processes.map_or_else(|| "auto".to_owned(), |number| number.to_string()),
        },
    }
}

/// What is written.
fn printed<'a>(write: impl FnOnce(&mut Writer<'a>)) -> Value {
    let mut writer = Writer::new(MAIN, 0);
    write(&mut writer);
    Value::from_safe_string(writer.finish().0)
}

fn known_rule(
    routes: &Routes,
    host: &HostName,
    rule: &Rule,
    certificate: &str,
    upstreams: &Upstreams<'_>,
) -> Option<Value> {
    if is_restricted(routes, rule) {
        return None;
    }
    let (forward, backend) = forward_of(rule)?;
    // Of several endpoints it is the first; the upstream has all.
    let address = upstreams.servers(backend).next()?;
    let protocol = match backend.protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
        Protocol::Http2 => "h2c",
        Protocol::Http2Tls => "h2",
    };
    let kind = if matches!(rule.matches.path, PathMatch::Exact(_)) { "Exact" } else { "Prefix" };
    Some(context! {
        host => host.to_string(),
        path => rule.matches.path.text(),
        cluster_ip => if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() },
        port => address.port(),
        protocol => protocol,
        upstream => upstreams.name(backend, routes.policy(rule))?.to_string(),
        strip_prefix => forward.path == PathRewrite::StripPrefix,
        redirect_to_https => routes.policy(rule).redirect_to_https,
        certificate => certificate,
        kind => rule.origin.kind.to_string(),
        namespace => rule.origin.key.namespace.clone(),
        name => rule.origin.key.name.clone(),
        // A word of Rust, which cannot be written as the others.
        ..BTreeMap::from([("match", kind)])
    })
}

fn is_restricted(routes: &Routes, rule: &Rule) -> bool {
    let policy = routes.policy(rule);
    policy.access.is_restricted() || policy.client_certificates.is_some()
}

/// What is told of rules that not all clients may ask: a template cannot say who may, so nobody may.
fn restricted_notes(routes: &Routes) -> impl Iterator<Item = RenderNote> {
    let restricted = routes.rules().filter(|rule| is_restricted(routes, rule));
    restricted.map(|rule| {
        let path: String = rule.matches.path.text().chars().take(100).collect();
        let message = format!("the path {path:?}: a template cannot say who may ask; the rule is left out");
        RenderNote { object: rule.origin.clone(), message }
    })
}

/// A line with a path of one object only is that object's, and so is the block that begins with it.
fn origins(routes: &Routes, values: &[String], placed: &[PlacedValue]) -> Vec<LineOrigin> {
    let mut objects: HashMap<&str, Option<&ObjectRef>> = HashMap::new();
    for rule in routes.rules() {
        let object = objects.entry(rule.matches.path.text()).or_insert(Some(&rule.origin));
        *object = object.filter(|object| **object == rule.origin);
    }
    let owned = placed.iter().filter_map(|value| {
        let object = (*objects.get(values.get(value.number)?.as_str())?)?;
        let PlacedValue { first_line, last_line, .. } = *value;
        Some(LineOrigin { file: MAIN.into(), first_line, last_line, object: object.clone() })
    });
    owned.collect()
}

fn failed(error: &Error) -> TemplateError {
    let message =
        error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    TemplateError::Failed { line: error.line().unwrap_or(0), message }
}

/// Counts what is written, up to a limit.
struct OutputLimit {
    left: usize,
}

impl std::io::Write for OutputLimit {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.left =
            self.left.checked_sub(bytes.len()).ok_or_else(|| std::io::Error::other("the output is too long"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
